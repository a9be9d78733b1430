"""A person uses their rights, over HTTP, and everything that is claimed is compared with what the sources hold."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dsr.credentials import Credential
from dsr.ledger import Certificate, VerifierKey
from google.protobuf import json_format

from deploy.local.api import TERMINAL, Actor, Api, ApiError
from deploy.local.package import Package, equal
from deploy.local.platform import Platform
from deploy.local.sandbox import chapter
from deploy.local.shop import sources
from deploy.local.shop.files import checksum
from deploy.local.shop.setting import Setting
from deploy.local.shop.store import LAKE, Store, View
from deploy.local.shop.witness import Witness
from deploy.local.stage import Stage

_CERTIFIED_SECONDS = 30.0
HERO = "ann.walsh@example.com"
HERO_IDENTITY = {"type": "email", "value": HERO}
WITHHELD = {
    (collection.collection): {field.field for field in collection.fields if field.third_party}
    for source in sources.data_map().sources
    for collection in source.collections
}
"""Fields with other people's data, by collection (Art. 15(4))."""
NOT_PORTED = frozenset({"public.invoices", "public.notes"})
"""Kept on another basis than consent or contract, or not provided by the person (Art. 20(1))."""


@dataclass
class Story:
    """What is told, to whom, and where what is downloaded goes."""

    platform: Platform
    setting: Setting
    api: Api
    stage: Stage
    witness: Witness
    downloads: Path
    store: Store | None = None

    def __post_init__(self) -> None:
        acme = Credential.load(self.platform.credential("acme"))
        operator = Credential.load(self.platform.credential("operator"))
        self.downloads.mkdir(parents=True, mode=0o700)
        self.operator = Actor(operator, "operator-1", ("ROLE_OPERATOR",))
        self.admin = Actor(acme, "admin-1", ("ROLE_ADMIN",))
        self.clerk = Actor(acme, "clerk-7", ("ROLE_REQUESTER",))
        self.manager = Actor(acme, "manager-2", ("ROLE_APPROVER", "ROLE_READER"))

    async def tell(self) -> None:
        """All of it."""
        await self.connect()
        access = await self.access()
        await self.portability()
        await self.refusal()
        await self.transfer()
        await self.erasure(access)
        await self.afterwards()
        await chapter.tell(self.stage, self.api, self.platform, self.operator)
        self._search_own_traces()

    async def connect(self) -> None:
        """The partner, its data sources, what they hold and why, and a hold."""
        with self.stage.chapter("Acme is connected") as chapter:
            partner = {
                **sources.partner(),
                "contractApprovers": [f"{self.manager.credential.issuer}#{self.manager.subject}"],
            }
            await self.api.create(self.operator, "partners", partner)
            served = [(sources.SHOP, "shop"), (sources.FILES, "files")]
            for name, host in [*served, (sources.STORE, "files")] if self.store else served:
                source = sources.data_source(name, self.platform.address(host))
                await self.api.create(self.admin, f"{sources.PARTNER}/dataSources", source)
            data_map = json_format.MessageToDict(sources.data_map(store=self.store is not None))
            await self.api.create(self.admin, f"{sources.PARTNER}/dataMaps", data_map)
            await self.api.create(self.admin, f"{sources.PARTNER}/holds", _hold())
            others = await self.witness.others()
            rows = sum(c.rows for c in others.values()) + sum((await self.witness.counts()).values())
            chapter.outcome = f"{rows:,} rows in {len(others)} tables, {self.setting.file_count:,} files"
            self.stage.say(f"{chapter.outcome}; two connector hosts; invoices on file are under a legal hold")

    async def access(self) -> str:
        """Art. 15. Returns the request's name."""
        with self.stage.chapter(f"Access: {HERO} asks for a copy (Art. 15)") as chapter:
            request, package = await self._copy("access", "accessRequests")
            found = package.counts("shop")
            self._show_bundle(request)
            wanted = await self.witness.counts()
            self.stage.expect("every table has as many records in the package as SQL finds", found == wanted)
            same = [
                equal(package.records("shop", name), await self.witness.records(name), WITHHELD[name])
                for name in wanted
            ]
            self.stage.expect("every record is the row that SQL shows, but for other people's data", all(same))
            self.stage.expect(
                "every file on disk is in the package, byte for byte", package.files() == self._own_files()
            )
            await self._compare_store(package)
            found |= package.counts("store")
            files = len(package.files()) + len(package.files("store"))
            chapter.outcome = f"{_word(request['state'])}, {sum(found.values())} records, {files} files"
            return str(request["name"])

    async def portability(self) -> None:
        """Art. 20."""
        with self.stage.chapter(f"Portability: {HERO} takes the data elsewhere (Art. 20)") as chapter:
            request, package = await self._copy(
                "portability", "portabilityRequests", formats=["FORMAT_CSV", "FORMAT_PARQUET"]
            )
            self._show_bundle(request)
            found = package.counts("shop")
            wanted = {name: rows for name, rows in (await self.witness.counts()).items() if name not in NOT_PORTED}
            self.stage.expect(
                "what was provided or observed on consent or contract is there, the rest not", found == wanted
            )
            await self._compare_store(package)
            account = package.records("shop", "public.customers")
            self.stage.expect("a score that was computed is left out", "churn_score" not in account[0])
            formats = {path.suffix for path in (package.root / "data" / "shop").iterdir()}
            self.stage.expect("as JSON Lines, CSV and Parquet", formats == {".jsonl", ".csv", ".parquet"})
            chapter.outcome = f"{_word(request['state'])}, {sum(found.values())} records"

    async def refusal(self) -> None:
        """Art. 28(3)(h): an outcome, not an error."""
        with self.stage.chapter("Refused: a copy for somebody who only answered an e-mail") as chapter:
            body = _request(method="METHOD_CONTACT_CONFIRMED")
            request = await self.api.create(self.clerk, f"{sources.PARTNER}/accessRequests", body)
            refusal = request.get("refusal", {})
            self.stage.say(f"{refusal.get('rule')} ({refusal.get('article')}): {'; '.join(refusal.get('facts', ()))}")
            self.stage.say(f"[dim]{refusal.get('objection')}")
            refused = request["state"] == "REQUEST_STATE_REFUSED" and refusal.get("rule") == "VERIFICATION_TOO_WEAK"
            self.stage.expect("refused, with rule, article and how to object", refused)
            chapter.outcome = f"REFUSED, {refusal.get('rule')}"

    async def transfer(self) -> None:
        """Art. 44: data doesn't leave the EEA without a basis."""
        with self.stage.chapter(
            "Refused: to register a place for a copy of the customer register at a sub-processor in the United States"
        ) as chapter:
            source = sources.data_source(f"{sources.PARTNER}/dataSources/newsletter", self.platform.address("shop"))
            source["custody"] = "CUSTODY_SUB_PROCESSOR"
            source["location"] = {"provider": "Mailchimp", "site": "Atlanta", "country": "US"}
            try:
                await self.api.create(self.admin, f"{sources.PARTNER}/dataSources", source)
                rule = article = ""
            except ApiError as error:
                rule, article = error.metadata.get("rule", ""), error.metadata.get("article", "")
                self.stage.say(str(error))
            refused = rule == "TRANSFER_WITHOUT_BASIS" and "Art. 44" in article
            self.stage.expect("refused, with rule and article", refused)
            chapter.outcome = f"{rule} ({article})"

    async def erasure(self, access: str) -> None:
        """Art. 17: plan, approval by a second person, erasure, read-back."""
        with self.stage.chapter(f"Erasure: {HERO} wants to be forgotten (Art. 17)") as chapter:
            before, files_before = await self.witness.others(), self._other_files()
            stored = await self._look_into_store()
            body = {**_request(), "ground": "GROUND_CONSENT_WITHDRAWN"}
            request = await self.api.create(self.clerk, f"{sources.PARTNER}/erasureRequests", body)
            name = request["name"]
            planned = await self.stage.follow(self.api.watch(self.clerk, name), TERMINAL | {"PLANNED"})
            plan = (await self.api.get(self.clerk, name))["plan"]
            self._show_plan(plan)
            self.stage.expect("the plan has no findings that block it", not plan["findings"])
            await self._approve(name, plan["digest"])
            last = await self.stage.follow(self.api.watch(self.clerk, name, planned.number), TERMINAL)
            report = (await self.api.get(self.clerk, name))["report"]
            self._show_report(report)
            self.stage.expect("the erasure is complete and was read back", last.state == "COMPLETED")
            await self._look_for_remains()
            self.stage.expect("every other row of every table is unchanged", await self.witness.others() == before)
            self.stage.expect("every other file is unchanged", self._other_files() == files_before)
            if stored is not None:
                left = await self._look_into_store()
                self.stage.expect(
                    "in the object store no version of any object and no record of the lake is left",
                    left is not None and left.is_empty,
                )
                self.stage.expect(
                    "every other object, and every other record of the lake, is unchanged",
                    left is not None and left.others == stored.others,
                )
            await self._bundle_has_ended(access)
            await self._is_certified(name, report)
            erased = sum(int(outcome["erased"]) for outcome in report["outcomes"])
            kept = sum(int(outcome["retained"]) for outcome in report["outcomes"])
            chapter.outcome = f"{last.state}, {erased} erased, {kept} kept by law"

    async def afterwards(self) -> None:
        """A second copy, by the only name that is left, says honestly what there is."""
        with self.stage.chapter("Access again, by customer number: what is left, and why") as chapter:
            identity = {"type": "customer_number", "value": self.witness.customer_number}
            request, package = await self._copy("access-afterwards", "accessRequests", identity)
            self._show_bundle(request)
            left = package.counts("shop") == {"public.invoices": 3} and package.files() == self._own_files()
            left = left and not any(package.counts("store").values())
            self.stage.expect("the invoices that the law keeps, and nothing else", left)
            chapter.outcome = f"{_word(request['state'])}, 3 records, {len(package.files())} files"

    async def _copy(
        self, folder: str, collection: str, identity: Mapping[str, str] = HERO_IDENTITY, **more: Any
    ) -> tuple[dict[str, Any], Package]:
        body = {**_request(identity), **more}
        request = await self.api.create(self.clerk, f"{sources.PARTNER}/{collection}", body)
        await self.stage.follow(self.api.watch(self.clerk, request["name"]), TERMINAL)
        request = await self.api.get(self.clerk, request["name"])
        (self.downloads / folder).mkdir(parents=True)
        archive = await self.api.download(self.clerk, request["name"], self.downloads / folder)
        package = Package.unpack(archive)
        self.stage.say(f"downloaded and unpacked, every checksum right: {archive.name}")
        return request, package

    async def _approve(self, name: str, digest: str) -> None:
        creator = Actor(self.clerk.credential, self.clerk.subject, ("ROLE_APPROVER",))
        try:
            await self.api.act(creator, name, "approve", planDigest=digest)
            reason = ""
        except ApiError as error:
            reason = error.reason
        self.stage.expect("who created it can't approve it", reason == "FOUR_EYES")
        await self.api.act(self.manager, name, "approve", planDigest=digest)
        self.stage.say(f"approved by {self.manager.subject}, for exactly the plan {digest[:16]}…")

    async def _look_for_remains(self) -> None:
        left = await self.witness.counts()
        self.stage.expect(
            "SQL finds invoices, kept by law, and reviews without author, and nothing else",
            left
            == {
                "public.invoices": 3,
                "public.reviews": 2,
            },
        )
        names = [review["author_name"] for review in await self.witness.records("public.reviews")]
        self.stage.expect("the reviews don't say who wrote them", set(names) == {"A former customer"})
        paths = checksum(self.setting.files).keys() - self._other_files().keys()
        self.stage.expect(
            "of the files only invoices under the hold are left", {p.split("/")[0] for p in paths} == {"invoices"}
        )

    async def _bundle_has_ended(self, access: str) -> None:
        request = await self.api.get(self.clerk, access)
        try:
            await self.api.download(self.clerk, access, self.downloads)
            reason = ""
        except ApiError as error:
            reason = error.reason
        ended = request["bundle"]["state"] == "STATE_ENDED_BY_ERASURE" and reason == "BUNDLE_GONE"
        self.stage.expect("the copy made before can't be downloaded any more", ended)

    async def _is_certified(self, name: str, report: Mapping[str, Any]) -> None:
        """The report, proved by nothing but the public key that the operator published."""
        async with asyncio.timeout(_CERTIFIED_SECONDS):
            while True:
                if "certificate" in await self.api.get(self.clerk, name):
                    break
                await asyncio.sleep(0.1)
        path = await self.api.download(self.clerk, name, self.downloads, "downloadCertificate")
        found = Certificate.parse(path.read_bytes()).verify(VerifierKey.parse(self.platform.ledger_key.read_text()))
        self.stage.say(f"{path.name}: entry {found.index} of {found.size} in the ledger {found.origin}")
        same = found.document["name"] == name and _results(found.document["report"]) == _results(report)
        self.stage.expect("the report is certified, and its proof checked offline", same)

    def _search_own_traces(self) -> None:
        """Neither a log nor a file of the platform's may hold in the clear what it handled."""
        names = [HERO.encode(), self.witness.customer_number.encode(), b"Walsh", b"Harbour Road", b"910 0142"]
        platform = self.platform
        paths = [*platform.cluster.home.glob("*.log"), *platform.logs.rglob("*"), *platform.folder.rglob("*")]
        told = [p.name for p in paths if p.is_file() and any(name in p.read_bytes() for name in names)]
        self.stage.expect("no log and no file of the platform holds name, number or address in the clear", not told)

    async def _look_into_store(self) -> View | None:
        return await self.store.look(self.witness.customer_number) if self.store else None

    async def _compare_store(self, package: Package, lake: Sequence[str] = LAKE) -> None:
        """What a package says of the object store, and what is in it."""
        view = await self._look_into_store()
        if view is None:
            return
        self.stage.expect(
            "every version of every object is in the package, byte for byte",
            package.files("store") == set(view.documents),
        )
        records = {name: [record["record"] for record in package.records("store", name)] for name in lake}
        same = [equal(records[name], view.lake[name]) for name in lake]
        total = sum(map(len, records.values()))
        self.stage.expect(f"and every record of the lake, JSON Lines and Parquet: {total}", all(same) and total > 0)

    def _own_files(self) -> set[str]:
        everything = checksum(self.setting.files)
        return {everything[path] for path in everything.keys() - self._other_files().keys()}

    def _other_files(self) -> Mapping[str, str]:
        return checksum(self.setting.files, without=self.witness.customer_number)

    def _show_bundle(self, request: Mapping[str, Any]) -> None:
        rows = [
            (c["source"].rpartition("/")[2], c["collection"], int(c["records"]), ", ".join(c["withheldFields"]))
            for c in request["bundle"]["collections"]
        ]
        self.stage.table(("source", "collection", "records", "withheld"), rows)

    def _show_plan(self, plan: Mapping[str, Any]) -> None:
        rows = [
            (
                c["source"].rpartition("/")[2],
                c["collection"],
                int(c["records"]),
                c["action"].removeprefix("ACTION_").lower(),
                ", ".join(c["fields"]) or c["legalReference"],
            )
            for c in plan["collections"]
        ]
        self.stage.table(("source", "collection", "records", "action", ""), rows)
        for finding in plan["findings"]:
            self.stage.say(f"[yellow]{finding['code']} {finding['collection']}: {finding['detail']}")

    def _show_report(self, report: Mapping[str, Any]) -> None:
        rows = [
            (
                o["source"].rpartition("/")[2],
                o["collection"],
                o["result"].removeprefix("RESULT_").lower(),
                int(o["erased"]) + int(o["anonymised"]) + int(o["retained"]),
                int(o["remaining"]),
                o["reason"],
            )
            for o in report["outcomes"]
        ]
        self.stage.table(("source", "collection", "result", "records", "left", ""), rows)


def _results(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [(o["source"], o["collection"], o["result"], str(o.get("erased", 0))) for o in report["outcomes"]]


def _word(state: str) -> str:
    return state.removeprefix("REQUEST_STATE_")


def _request(identity: Mapping[str, str] = HERO_IDENTITY, method: str = "METHOD_ACCOUNT_LOGIN") -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "subject": {
            "identities": [identity],
            "capacity": "REQUESTER_CAPACITY_SELF",
            "verification": {"method": method, "verifier": "desk-3", "verifyTime": _json(now - timedelta(hours=1))},
        },
        "clock": {"receivedTime": _json(now - timedelta(days=2))},
    }


def _hold() -> dict[str, Any]:
    return {
        "source": sources.FILES,
        "collection": "invoices",
        "reason": "eu-gdpr:JustificationA17LegallyRequired",
        "legalReference": "Taxes Consolidation Act 1997 (Ireland), s. 886(4)",
        "reviewTime": _json(datetime.now(UTC) + timedelta(days=365)),
    }


def _json(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
