"""`meterlog decode`: any record of ours, or any DLMS frame, made readable."""

import sys
from pathlib import Path

import click

from connectors.faces.cli.terminal import Failure, console, json_option, print_json
from schemas import codec

SINGLE_OBJECT = b"\xc3\x01"


@click.command()
@click.argument("source", required=False)
@click.option(
    "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read raw bytes from a file."
)
@json_option
def decode(source: str | None, path: Path | None, as_json: bool) -> None:
    """Decode SOURCE: hex of an Avro record (C3 01 ...) or of a DLMS frame or APDU.

    Without SOURCE, raw bytes from standard input.
    """
    data = _octets(source, path)
    if data.startswith(SINGLE_OBJECT):
        try:
            name, value = codec.decode_plain(data)
        except codec.Unreadable as error:
            raise Failure(f"not a readable record: {error.reason}") from None
        if as_json:
            print_json({"record": name, "value": value})
        else:
            console.print(f"[bold]{name}[/]")
            print_json(value)
        return
    from connectors.dlms.frames import NotAFrame, readable

    try:
        text = readable(data)
    except NotAFrame as error:
        raise Failure(f"neither an Avro record (C3 01 ...) nor a DLMS frame: {error}") from None
    if as_json:
        print_json({"frame": text})
    else:
        click.echo(text)


def _octets(source: str | None, path: Path | None) -> bytes:
    if path is not None:
        return path.read_bytes()
    if source is None:
        return sys.stdin.buffer.read()
    try:
        return bytes.fromhex(source)
    except ValueError:
        raise Failure(
            "SOURCE must be hexadecimal digits", "Raw bytes go in through --file or standard input."
        ) from None
