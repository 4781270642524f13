"""Medians and ratios. A ratio is of two measurements of the same round, so that what disturbed one disturbed the other."""

import dataclasses
import statistics

from .clients import FUSE_ALONE, NBD_ALONE


@dataclasses.dataclass
class Spread:
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values):
        return cls(statistics.median(values), min(values), max(values))


class Summary:
    """The records, by group, workload and client."""

    def __init__(self, records):
        self._records = {}
        for record in records:
            key = record["group"], record["workload"], record["client"]
            self._records.setdefault(key, {})[record["round"]] = record

    def _all(self, group, workload, client):
        return self._records.get((group, workload, client), {})

    def _rounds(self, group, workload, client):
        """Those that came to a value."""
        return {number: record for number, record in self._all(group, workload, client).items() if "value" in record}

    def failures(self, group, workload, client):
        """Why there is no value, for each round without one."""
        return [record["failure"] for record in self._all(group, workload, client).values() if "failure" in record]

    def is_right(self, group, workload, client):
        """Its data was checked, and right."""
        return any(record.get("isRight") for record in self._rounds(group, workload, client).values())

    def wrong(self, group, workload, client):
        """What was wrong with its data, each time that it was."""
        return [record["wrong"] for record in self._rounds(group, workload, client).values() if "wrong" in record]

    def spread(self, group, workload, client, field="value"):
        """None where it was not measured."""
        values = [record[field] for record in self._rounds(group, workload, client).values() if field in record]
        return Spread.of(values) if values else None

    def is_bound(self, group, workload, client):
        """The client did not finish in some round: its time is at least what stands there."""
        return any(record["isBound"] for record in self._rounds(group, workload, client).values())

    def ratio(self, group, workload, client, base, field="value"):
        """How many times `base` the client is: of times the inverse, so that more is always better."""
        ours, theirs = self._rounds(group, workload, client), self._rounds(group, workload, base)
        ratios = []
        for number in ours.keys() & theirs.keys():
            if field not in ours[number] or field not in theirs[number]:
                continue
            one, other = ours[number][field], theirs[number][field]
            if ours[number]["unit"] == "s" and field == "value":
                one, other = other, one
            if other > 0:
                ratios.append(one / other)
        return Spread.of(ratios) if ratios else None

    def share_of_best(self, group, workload, client, others):
        """The client's median against the best one's of all others: less than 1 is worse. None where there is no other."""
        medians = {name: spread.median for name in others if (spread := self.spread(group, workload, name))}
        if client not in medians or len(medians) < 2:
            return None
        is_time = next(iter(self._rounds(group, workload, client).values()))["unit"] == "s"
        if is_time:
            return min(medians.values()) / medians[client]
        return medians[client] / max(medians.values()) if max(medians.values()) else 0

    def limit_share(self, group, workload, client):
        """Throughput against 1 / (1/FUSE-alone + 1/NBD-alone), which is what one thread could do that did nothing else."""
        ours = self._rounds(group, workload, client)
        fuse, nbd = self._rounds(group, workload, FUSE_ALONE), self._rounds(group, workload, NBD_ALONE)
        shares = [
            ours[number]["value"] * (1 / fuse[number]["value"] + 1 / nbd[number]["value"])
            for number in ours.keys() & fuse.keys() & nbd.keys()
        ]
        return Spread.of(shares) if shares else None

    def peak_kib(self, client):
        """The most memory that the client had resident in any measurement."""
        peaks = [
            record["peakKiB"]
            for (_, _, name), rounds in self._records.items() if name == client
            for record in rounds.values() if "peakKiB" in record
        ]
        return max(peaks, default=None)
