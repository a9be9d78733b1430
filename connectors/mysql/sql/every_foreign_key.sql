-- Every foreign key of the server, whoever may see its tables. Needs the privilege PROCESS.
SELECT f.REF_NAME, f.FOR_NAME
FROM information_schema.{view} AS f
