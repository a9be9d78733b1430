-- Triggers that run on DELETE or UPDATE. Only those show whose table the user has the privilege TRIGGER on.
SELECT
  g.EVENT_OBJECT_SCHEMA,
  g.EVENT_OBJECT_TABLE,
  g.TRIGGER_NAME,
  g.EVENT_MANIPULATION
FROM information_schema.TRIGGERS AS g
WHERE g.EVENT_MANIPULATION IN ('DELETE', 'UPDATE')
  AND g.TRIGGER_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
ORDER BY 1, 2, 3, 4
