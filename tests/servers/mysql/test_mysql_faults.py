"""What a server can do behind a statement's back: every one of these rolls back and says so, or is refused before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncmy import errors
from dsr.connector.v1 import connector_pb2 as pb

from dsrkit.errors import DsrError
from tests.integration.postgres.harness import DELETE, RETAIN, counts, erase, erase_one, grant, locate, subject
from tests.servers.mysql.harness import Database, backend
from tests.servers.programs import MariaDb

WHO = subject(email="ann@example.com")
SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, email varchar(100) UNIQUE, note text);
CREATE TABLE things (
  id int PRIMARY KEY, person int NOT NULL, what text,
  CONSTRAINT things_person FOREIGN KEY (person) REFERENCES people (id) ON DELETE CASCADE
);
INSERT INTO people VALUES (1, 'ann@example.com', 'a'), (2, 'bob@example.com', 'b');
INSERT INTO things SELECT seq, 1 + seq % 2, 'thing' FROM seq_1_to_10;
"""
DECLARED: dict[str, Any] = {
    "public.people": {"people": True, "identity": {"email": {"type": "email", "unique": True}}},
    "public.things": {"references": {"things_person": "OWNED"}},
}
ALL = {"people": DELETE, "things": DELETE}


@pytest.fixture
async def box(database: Database) -> Database:
    database.script(SCHEMA)
    return database


def declared(**acknowledged: list[str]) -> dict[str, Any]:
    return {
        "collections": {
            name: entry | {"acknowledged": acknowledged.get(name.removeprefix("public."), [])}
            for name, entry in DECLARED.items()
        }
    }


QUIETLY = {
    "puts another row in its place": "CREATE TRIGGER quietly AFTER DELETE ON people FOR EACH ROW"
    " INSERT INTO things_log SELECT OLD.id, OLD.email",
    "changes a row of another table": "CREATE TRIGGER quietly BEFORE DELETE ON people FOR EACH ROW"
    " UPDATE counters SET number = number - 1",
}


@pytest.mark.parametrize("mischief", QUIETLY.values(), ids=QUIETLY.keys())
async def test_a_trigger_is_a_finding_until_somebody_has_considered_it(box: Database, mischief: str) -> None:
    box.script("CREATE TABLE things_log (id int, email text); CREATE TABLE counters (number int);")
    box.script(mischief)
    free = {"public.things_log": {"no_personal_data": True}, "public.counters": {"no_personal_data": True}}
    before = await box.rows()
    unaware = backend(box.dsn, {"collections": declared()["collections"] | free})
    described, located = await unaware.describe(), (await locate(unaware, WHO))["s0"]
    erased = await erase_one(unaware, WHO, grant(ALL))
    await unaware.close()
    assert ("TRIGGER", "public.people", True) in {(f.code, f.collection, f.blocks_erasure) for f in described.findings}
    assert counts(located) == {"people": 1, "things": 5}
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert await box.rows() == before
    aware = backend(box.dsn, {"collections": declared(people=["quietly"])["collections"] | free})
    erased = await erase_one(aware, WHO, grant(ALL, task="task-2"))
    await aware.close()
    assert erased.outcome == pb.Erased.OUTCOME_ERASED


async def test_a_trigger_that_keeps_a_field_is_caught_under_anonymise(box: Database) -> None:
    box.script("CREATE TRIGGER quietly BEFORE UPDATE ON people FOR EACH ROW SET NEW.note = OLD.note")
    before = await box.rows()
    source = backend(box.dsn, declared(people=["quietly"]))
    with pytest.raises(DsrError) as caught:
        await erase_one(source, WHO, grant({"people": {"email": "gone", "note": None}, "things": DELETE}))
    await source.close()
    assert caught.value.reason == "SOURCE_INCONSISTENT"
    assert await box.rows() == before


async def test_a_trigger_that_refuses_is_a_rejection_without_its_text(box: Database) -> None:
    box.script(
        "DELIMITER //\nCREATE TRIGGER loudly BEFORE DELETE ON people FOR EACH ROW BEGIN"
        " DECLARE text varchar(200) DEFAULT concat(OLD.email, ' must stay');"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = text; END//\nDELIMITER ;"
    )
    before = await box.rows()
    source = backend(box.dsn, declared(people=["loudly"]))
    with pytest.raises(DsrError) as caught:
        await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert caught.value.reason == "SOURCE_REJECTED"
    assert "ann@" not in str(caught.value) + str(caught.value.metadata)
    assert await box.rows() == before


async def test_a_constraint_that_refuses_is_named_and_no_value_is(box: Database) -> None:
    box.script("ALTER TABLE people ADD CONSTRAINT polite CHECK (note <> 'rude')")
    before = await box.rows()
    source = backend(box.dsn, declared())
    with pytest.raises(DsrError) as caught:
        await erase_one(source, WHO, grant({"people": {"note": "rude"}, "things": RETAIN}))
    with pytest.raises(DsrError) as twice:
        await erase_one(source, WHO, grant({"people": {"email": "bob@example.com"}, "things": RETAIN}))
    await source.close()
    assert caught.value.reason == twice.value.reason == "SOURCE_REJECTED"
    for error in (caught.value, twice.value):
        assert "rude" not in str(error) + str(error.metadata)
        assert "bob@" not in str(error) + str(error.metadata)
    assert await box.rows() == before


BLOCKING = {
    "NOT_TRANSACTIONAL": "ALTER TABLE things DROP FOREIGN KEY things_person; ALTER TABLE things ENGINE=Aria",
    "SYSTEM_VERSIONED": "ALTER TABLE things DROP FOREIGN KEY things_person; ALTER TABLE things ADD SYSTEM VERSIONING",
}


@pytest.mark.parametrize(("code", "change"), BLOCKING.items(), ids=BLOCKING.keys())
async def test_what_could_not_be_undone_or_would_not_go_blocks(box: Database, code: str, change: str) -> None:
    box.script(change)
    options = declared()
    person = {"columns": ["person"], "target": "public.people", "target_columns": ["id"], "ownership": "OWNED"}
    options["collections"]["public.things"] = {"references": {"person": person}}
    before = await box.rows()
    source = backend(box.dsn, options)
    described, located = await source.describe(), (await locate(source, WHO))["s0"]
    erased = await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert (code, "public.things") in {(f.code, f.collection) for f in described.findings}
    assert counts(located) == {"people": 1, "things": 5}
    assert code in {f.code for f in erased.findings}
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert await box.rows() == before


async def test_rows_without_a_key_are_refused_with_what_to_do(box: Database) -> None:
    box.script("CREATE TABLE traces (person int, what text); INSERT INTO traces VALUES (1, 'a'), (1, 'a')")
    options = declared()
    person = {"columns": ["person"], "target": "public.people", "target_columns": ["id"], "ownership": "OWNED"}
    options["collections"]["public.traces"] = {"references": {"person": person}}
    source = backend(box.dsn, options)
    with pytest.raises(DsrError) as caught:
        await locate(source, WHO)
    await source.close()
    assert caught.value.reason == "SOURCE_REJECTED"
    assert "public.traces" in caught.value.metadata["why"]
    assert "AUTO_INCREMENT" in caught.value.metadata["why"]


@pytest.fixture
async def restricted(box: Database) -> AsyncIterator[str]:
    """DSN of a user who owns nothing."""
    box.script("""
        CREATE OR REPLACE USER dsr_test@'127.0.0.1' IDENTIFIED BY 'secret';
        GRANT SELECT, UPDATE, DELETE, TRIGGER ON public.* TO dsr_test@'127.0.0.1';
        GRANT CREATE TEMPORARY TABLES ON public.* TO dsr_test@'127.0.0.1';
        GRANT CREATE, SELECT, INSERT, UPDATE ON dsr_journal.* TO dsr_test@'127.0.0.1';
        GRANT PROCESS ON *.* TO dsr_test@'127.0.0.1';
    """)
    yield box.server.dsn("public", "dsr_test", "secret")
    box.script("DROP USER dsr_test@'127.0.0.1'")


async def test_an_ordinary_user_with_the_documented_privileges_suffices(restricted: str, box: Database) -> None:
    source = backend(restricted, declared())
    probe, described = await source.probe(), await source.describe()
    erased = await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert probe.reachable
    assert all(p.allowed for p in probe.permissions), probe
    assert not described.findings
    assert erased.outcome == pb.Erased.OUTCOME_ERASED


async def test_what_may_not_be_read_is_never_silently_left_out(restricted: str, box: Database) -> None:
    box.script("""
        REVOKE SELECT, UPDATE, DELETE ON public.* FROM dsr_test@'127.0.0.1';
        GRANT SELECT, UPDATE, DELETE ON public.people TO dsr_test@'127.0.0.1';
        GRANT UPDATE, DELETE ON public.things TO dsr_test@'127.0.0.1';
    """)
    source = backend(restricted, declared())
    described, probe = await source.describe(), await source.probe()
    with pytest.raises(DsrError) as caught:
        await locate(source, WHO)
    await source.close()
    assert ("PRIVILEGE_MISSING", "public.things") in {(f.code, f.collection) for f in described.findings}
    assert "public.things: select" in {p.operation for p in probe.permissions if not p.allowed}
    assert caught.value.reason == "SOURCE_REJECTED"


async def test_a_child_in_a_database_that_the_user_can_not_see_blocks(restricted: str, box: Database) -> None:
    box.script("""
        CREATE DATABASE IF NOT EXISTS elsewhere;
        CREATE TABLE elsewhere.badges (id int PRIMARY KEY, person int,
          CONSTRAINT badges_person FOREIGN KEY (person) REFERENCES public.people (id) ON DELETE CASCADE);
        INSERT INTO elsewhere.badges VALUES (1, 1);
    """)
    before = await box.rows()
    source = backend(restricted, declared())
    erased = await erase_one(source, WHO, grant(ALL))
    await source.close()
    after = await box.rows()
    box.script("DROP DATABASE elsewhere")
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert {f.code for f in erased.findings} == {"REFERENCE_UNREADABLE"}
    assert after == before


async def test_triggers_that_the_user_can_not_see_block(restricted: str, box: Database) -> None:
    box.script("REVOKE TRIGGER ON public.* FROM dsr_test@'127.0.0.1'")
    source = backend(restricted, declared())
    erased = await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert {f.code for f in erased.findings} == {"TRIGGERS_UNSEEN"}


async def test_a_table_that_appears_is_a_finding_at_once_and_its_rows_block(box: Database) -> None:
    source = backend(box.dsn, declared())
    assert not (await source.describe()).findings
    box.script(
        "CREATE TABLE badges (id int PRIMARY KEY, person int, CONSTRAINT badges_person FOREIGN KEY (person)"
        " REFERENCES people (id) ON DELETE CASCADE); INSERT INTO badges VALUES (1, 1)"
    )
    before = await box.rows()
    erased = await erase_one(source, WHO, grant(ALL))
    described = await source.describe()
    await source.close()
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert [f.code for f in erased.findings] == ["CASCADE_OUTSIDE_PLAN"]
    assert ("UNDECLARED_COLLECTION", "public.badges") in {(f.code, f.collection) for f in described.findings}
    assert await box.rows() == before


async def test_two_erasures_that_would_deadlock_both_end(box: Database) -> None:
    """Another transaction takes locks in the opposite order. Whoever is the victim, Erase tries again or goes on."""
    source = backend(box.dsn, declared() | {"lock_timeout": 20})
    located = (await locate(source, WHO))["s0"]
    await box.execute("START TRANSACTION")
    await box.fetch("SELECT 1 FROM things WHERE id = 2 FOR UPDATE")
    work = asyncio.create_task(erase(source, [(WHO, located)], grant(ALL)))
    await box.waited_for()
    with contextlib.suppress(errors.OperationalError):
        await box.fetch("SELECT 1 FROM people WHERE id = 1 FOR UPDATE")
    await box.execute("ROLLBACK")
    erased = (await work)["s0"]
    await source.close()
    assert erased.outcome == pb.Erased.OUTCOME_ERASED


async def test_a_statement_that_takes_too_long_is_a_timeout(box: Database) -> None:
    box.script("CREATE TRIGGER slowly BEFORE DELETE ON people FOR EACH ROW DO sleep(5)")
    before = await box.rows()
    source = backend(box.dsn, declared(people=["slowly"]) | {"statement_timeout": 0.5})
    with pytest.raises(DsrError) as caught:
        await erase_one(source, WHO, grant(ALL))
    await source.close()
    assert caught.value.reason == "SOURCE_TIMEOUT"
    assert await box.rows() == before


async def test_a_circle_that_can_not_be_cut_is_refused_and_one_that_can_goes(box: Database) -> None:
    box.script("""
        CREATE TABLE a (id int PRIMARY KEY, person int, other int NOT NULL);
        CREATE TABLE b (id int PRIMARY KEY, other int NOT NULL);
        INSERT INTO a VALUES (1, 1, 1);
        INSERT INTO b VALUES (1, 1);
        ALTER TABLE a ADD CONSTRAINT a_b FOREIGN KEY (other) REFERENCES b (id);
        ALTER TABLE b ADD CONSTRAINT b_a FOREIGN KEY (other) REFERENCES a (id);
    """)
    person = {"columns": ["person"], "target": "public.people", "target_columns": ["id"], "ownership": "OWNED"}
    options = declared()
    options["collections"]["public.a"] = {"references": {"person": person, "a_b": "LOOKUP"}}
    options["collections"]["public.b"] = {"references": {"b_a": "OWNED"}}
    plan = ALL | {"a": DELETE, "b": DELETE}
    before = await box.rows()
    source = backend(box.dsn, options)
    erased = await erase_one(source, WHO, grant(plan))
    assert erased.outcome == pb.Erased.OUTCOME_BLOCKED
    assert {f.code for f in erased.findings} == {"CIRCULAR_REFERENCE"}
    assert await box.rows() == before
    box.script("ALTER TABLE a MODIFY other int NULL")
    erased = await erase_one(source, WHO, grant(plan, task="task-2"))
    await source.close()
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    assert {c.collection: c.deleted for c in erased.collections} == {
        "public.people": 1,
        "public.things": 5,
        "public.a": 1,
        "public.b": 1,
    }


async def test_a_server_that_is_gone_is_unavailable_and_an_unverified_one_refused(mariadb_server: MariaDb) -> None:
    gone = backend("mysql://dsr:x@127.0.0.1:1/public", declared())
    assert not (await gone.probe()).reachable
    with pytest.raises(DsrError) as caught:
        await locate(gone, WHO)
    await gone.close()
    assert caught.value.reason == "SOURCE_UNAVAILABLE"
    far = backend("mysql://dsr:x@db.example:3306/public?ssl-mode=PREFERRED", declared())
    with pytest.raises(DsrError) as refused:
        await locate(far, WHO)
    await far.close()
    assert refused.value.reason == "BACKEND_UNENCRYPTED"
