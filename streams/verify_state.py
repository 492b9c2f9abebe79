"""`python -m streams.verify_state [--json]`: the proof of `device/verify.py` as a command.

A process of its own, since the command line (`meterlog verify-state`) may not import the streams. Reads METERLOG_KAFKA
and METERLOG_KAFKA_CONFIG. Exit code 0 when log and table agree, 1 when they do not, 2 when it could not be told.
"""

import json
import sys

from confluent_kafka import KafkaException

from roles.settings import SettingsWrong, read_settings
from streams.device.verify import Verdict, read

AGREES, DIFFERS, UNKNOWN = range(3)


def main(arguments: list[str]) -> int:
    try:
        settings = read_settings()
        verdict = read(settings.kafka, dict(settings.kafka_config))
    except (SettingsWrong, TimeoutError) as error:
        print(error, file=sys.stderr)
        return UNKNOWN
    except KafkaException as error:
        print(f"Kafka: {error.args[0].str()}", file=sys.stderr)
        return UNKNOWN
    print(_document(verdict) if "--json" in arguments else _text(verdict))
    return AGREES if verdict.agrees else DIFFERS


def _document(verdict: Verdict) -> str:
    return json.dumps(
        {
            "agrees": verdict.agrees,
            "devices": verdict.devices,
            "decisions": verdict.decisions,
            "unversioned": verdict.unversioned,
            "headless": verdict.headless,
            "counts": verdict.counts,
            "examples": verdict.examples,
        }
    )


def _text(verdict: Verdict) -> str:
    seen = f"{verdict.devices} devices, {verdict.decisions} decisions"
    if verdict.headless:
        seen += f" ({verdict.headless} before the first snapshot of a log whose beginning is gone)"
    if verdict.agrees:
        return f"the table is what the log says: {seen}"
    lines = [f"the table is not what the log says: {seen}"]
    for kind, count in verdict.counts.items():
        lines += [f"{count} {kind}", *(f"  {example}" for example in verdict.examples[kind])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
