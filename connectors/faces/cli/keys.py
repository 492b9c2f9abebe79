"""`meterlog keys`: the platform's public key, and secrets encrypted for it."""

import sys
from pathlib import Path

import click

from connectors.dlms.keys import PUBLIC_FILE, KeysUnusable, generate, seal_for_platform
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, json_option, print_json


@click.group()
def keys() -> None:
    """The platform's keys.

    Secrets of meters are encrypted for its public key before they are sent.
    """


def platform_public_key(places: Places) -> bytes:
    """The public key (PEM) of this platform.

    Raises Failure when there is none.
    """
    try:
        return (places.keys / PUBLIC_FILE).read_bytes()
    except OSError as error:
        raise Failure(
            f"{places.keys / PUBLIC_FILE}: {error.strerror}",
            "`meterlog keys generate` makes the platform's keys; name another's public key with --public-key.",
        ) from None


@keys.command("generate")
@places_option
@json_option
def generate_keys(places: Places, as_json: bool) -> None:
    """Make the platform's keys, once.

    What is there already is never replaced: meters' secrets rest under it.
    """
    if (places.keys / PUBLIC_FILE).exists():
        raise Failure(f"{places.keys} holds keys already; they are not replaced")
    try:
        generate(places.keys)
    except (KeysUnusable, OSError) as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json({"folder": places.keys})
    else:
        click.echo(f"the platform's keys lie in {places.keys}; keep a copy where only you can read it")


@keys.command()
@places_option
@json_option
def public(places: Places, as_json: bool) -> None:
    """Print the platform's public key (PEM).

    Suppliers encrypt meter keys for it: RSA-OAEP with SHA-256.
    """
    pem = platform_public_key(places).decode()
    if as_json:
        print_json({"public_key": pem})
    else:
        click.echo(pem, nl=False)


@keys.command()
@click.argument("secret", required=False)
@click.option(
    "--public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file; default: this platform's.",
)
@places_option
@json_option
def seal(secret: str | None, public_key: Path | None, places: Places, as_json: bool) -> None:
    """Encrypt SECRET (hex) for the platform; read from standard input when not given, which keeps it out of the
    shell's history."""
    text = (secret if secret is not None else sys.stdin.readline()).strip()
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        raise Failure("the secret must be hexadecimal digits, two an octet") from None
    if not octets:
        raise Failure("the secret is empty", "Give it as hexadecimal digits, or on standard input.")
    pem = public_key.read_bytes() if public_key else platform_public_key(places)
    try:
        sealed = seal_for_platform(pem, octets).hex()
    except ValueError as error:
        raise Failure(f"cannot encrypt: {error}") from None
    if as_json:
        print_json({"sealed": sealed})
    else:
        click.echo(sealed)
