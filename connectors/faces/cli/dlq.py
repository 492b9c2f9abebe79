"""`meterlog dlq`: records nobody could read or attribute; look at them, and send them back once the cause is
mended."""

import click

from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, console, json_option, moment, print_json, print_table
from connectors.faces.dead_letters import DeadLetter, NoSuchLetter, letters
from connectors.faces.dead_letters import replay as send_back

SHOWN_OCTETS = 512


@click.group()
def dlq() -> None:
    """Dead letters: original bytes, and why they were set aside."""


@dlq.command("list")
@click.option("--limit", default=50, show_default=True, help="The newest so many.")
@places_option
@json_option
def list_letters(limit: int, places: Places, as_json: bool) -> None:
    """List dead letters, newest first."""
    found = sorted(letters(places.kafka), key=lambda letter: letter.at, reverse=True)[:limit]
    if as_json:
        print_json([_document(letter) for letter in found])
    elif not found:
        console.print("no dead letters")
    else:
        rows = [(letter.place, moment(letter.at), letter.role, letter.origin, letter.reason) for letter in found]
        print_table("", ("place", "when", "set aside by", "came from", "why"), rows)


@dlq.command()
@click.argument("place")
@places_option
@json_option
def show(place: str, places: Places, as_json: bool) -> None:
    """Show the dead letter at PLACE (partition:offset) with its bytes."""
    letter = next(letters(places.kafka, only=place), None)
    if letter is None:
        raise Failure(
            f"there is no dead letter at {place!r} (partition:offset)", "`meterlog dlq list` shows the places."
        )
    if as_json:
        print_json(_document(letter))
        return
    for name, value in _document(letter).items():
        console.print(f"{name:<8} {value}", markup=False)


@dlq.command()
@click.argument("place")
@places_option
@json_option
def replay(place: str, places: Places, as_json: bool) -> None:
    """Send the dead letter at PLACE (partition:offset) back to the topic it came from."""
    try:
        letter = send_back(places.kafka, place)
    except NoSuchLetter as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json({"place": place, "topic": letter.topic})
    else:
        console.print(f"sent back to {letter.topic}; it stays in the list, since a log forgets nothing")


def _document(letter: DeadLetter) -> dict[str, object]:
    shown = letter.value[:SHOWN_OCTETS].hex()
    return {
        "place": letter.place,
        "at": moment(letter.at),
        "role": letter.role,
        "reason": letter.reason,
        "origin": letter.origin,
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "headers": {name: value.decode(errors="backslashreplace") for name, value in letter.headers},
        "octets": len(letter.value),
        "value": shown if len(letter.value) <= SHOWN_OCTETS else f"{shown}...",
    }
