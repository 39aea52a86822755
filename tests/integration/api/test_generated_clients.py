"""Clients made from `/openapi.json` by other people's generators compile, and pay.

Each is made of the document as it is served, and opens an account, pays, reads the payment and
lists it, by a program in tests/support/api/clients.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Final

import orjson
import pytest

from tests.support.api.ingress import Ingress

_PROGRAMS: Final = Path(__file__).parents[2] / "support" / "api" / "clients"
# With their versions, so that a new one fails nobody by surprise.
_GENERATOR: Final = "org.openapitools:openapi-generator-cli:7.25.0"
_TYPESCRIPT: Final = "typescript@5.9.3"
_JAVA: Final = ("java", "javac", "mvn")
_NODE: Final = ("node", "npm")


async def _run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What a command says, which has to succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said.decode()[-4000:] + complained.decode()[-4000:]
    return said.decode()


async def _document(ingress: Ingress, folder: Path) -> Path:
    path = folder / "openapi.json"
    path.write_bytes((await ingress.client.get("/openapi.json")).body)
    return path


async def _paid(ingress: Ingress, said: str) -> None:
    """What a client was answered is what there is."""
    told = orjson.loads(said)
    assert (told["balance"], told["amount"]) == ("100.50", "12.34")
    assert (told["source"], told["metadata"]) == (told["account"], {"order": 7})
    assert told["listed"] == [told["payment"]]
    payment = await ingress.client.get(f"/api/v1/payments/{told['payment']}")
    assert (payment.text("amount"), payment.text("provider")) == ("12.34", "stripe")
    balance = await ingress.client.get(f"/api/v1/accounts/{told['account']}/balance")
    assert balance.text("available") == "88.16"


def _needs(*tools: str) -> None:
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"needs a JDK, Maven and Node.js; not on the PATH: {', '.join(missing)}")


async def _generate(document: Path, folder: Path, *arguments: str) -> Path:
    """A client made by openapi-generator, in a folder of its own, after it took the document."""
    await _run(
        *("mvn", "--batch-mode", "--quiet", "dependency:copy", f"-Dartifact={_GENERATOR}"),
        *(f"-DoutputDirectory={folder}", "-Dmdep.stripVersion=true"),
        cwd=folder,
    )
    made = folder / "client"
    generator = ("java", "-jar", folder / "openapi-generator-cli.jar")
    found = await _run(*generator, "validate", "-i", document, cwd=folder)
    assert "No validation issues detected" in found
    await _run(*generator, "generate", "-i", document, "-o", made, *arguments, cwd=folder)
    return made


async def test_one_by_openapi_python_client_pays(ingress: Ingress, tmp_path: Path) -> None:
    """It leaves out nothing, and knows a payment's account and amount."""
    document = await _document(ingress, tmp_path)
    said = await _run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--path", document),
        *("--meta", "none", "--output-path", tmp_path / "payments_client"),
        *("--fail-on-warning",),
        cwd=tmp_path,
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    assert "WARNING" not in said
    program = _PROGRAMS / "openapi_python_client.py"
    answered = await _run(sys.executable, program, ingress.client.address, cwd=tmp_path, **_HERE)
    await _paid(ingress, answered)


# Where a generated package of Python is found, without its being installed.
_HERE: Final = {"PYTHONPATH": "."}


@pytest.mark.long
async def test_one_in_python_by_openapi_generator_pays(ingress: Ingress, tmp_path: Path) -> None:
    """Every module of it can be imported, and amounts keep their digits."""
    _needs(*_JAVA)
    document = await _document(ingress, tmp_path)
    package = "--additional-properties=packageName=payments_client"
    made = await _generate(document, tmp_path, "-g", "python", package)
    program = _PROGRAMS / "openapi_generator.py"
    answered = await _run(sys.executable, program, ingress.client.address, cwd=made, **_HERE)
    await _paid(ingress, answered)


@pytest.mark.long
async def test_one_in_typescript_by_openapi_generator_pays(
    ingress: Ingress, tmp_path: Path
) -> None:
    """It compiles, and runs on Node.js."""
    _needs(*_JAVA, *_NODE)
    document = await _document(ingress, tmp_path)
    # A name makes it a package, with settings of a compiler.
    package = "--additional-properties=npmName=payments-client"
    made = await _generate(document, tmp_path, "-g", "typescript-fetch", package)
    shutil.copy(_PROGRAMS / "pay.ts", made / "src" / "pay.ts")
    await _run("npm", "install", "--silent", "--no-save", _TYPESCRIPT, cwd=made)
    await _run("npx", "tsc", "--project", ".", cwd=made)
    answered = await _run("node", "dist/pay.js", ingress.client.address, cwd=made)
    await _paid(ingress, answered)


@pytest.mark.long
async def test_one_in_java_by_openapi_generator_pays(ingress: Ingress, tmp_path: Path) -> None:
    """It compiles, on the library of HTTP that Java has."""
    _needs(*_JAVA)
    document = await _document(ingress, tmp_path)
    made = await _generate(document, tmp_path, "-g", "java", "--library", "native")
    shutil.copy(_PROGRAMS / "Pay.java", made / "src" / "main" / "java" / "Pay.java")
    await _run(
        *("mvn", "--batch-mode", "--quiet", "compile", "dependency:copy-dependencies"),
        cwd=made,
    )
    classes = f"{made}/target/classes{os.pathsep}{made}/target/dependency/*"
    answered = await _run("java", "-cp", classes, "Pay", ingress.client.address, cwd=made)
    await _paid(ingress, answered)
