"""The kind of contract that pyproject.toml gives import-linter: a room imports what it may.

Whatever is not allowed is forbidden, so that a new package or library is nobody's until a contract
says so. Only what a module imports itself counts: what it reaches by way of others is their
contract's matter. A `__main__` composes, and so imports anything.
"""

from collections.abc import Iterable, Iterator
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.application import contract_utils
from importlinter.domain.imports import ImportExpression


class AllowedImports(Contract):
    """`rooms` import each other, `may_import`, and of `libraries`, if given, these alone."""

    type_name = "allowed"

    rooms = fields.ListField(subfield=fields.StringField())
    may_import = fields.ListField(subfield=fields.StringField())
    libraries = fields.ListField(subfield=fields.StringField(), required=False)
    ignore_imports = fields.SetField(subfield=fields.ImportExpressionField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - the library's signature
        ignored = cast("Iterable[ImportExpression] | None", self.ignore_imports)
        removal = contract_utils.remove_ignored_imports_and_report(
            graph, list(ignored or ()), contract_utils.AlertLevel.ERROR
        )
        forbidden = sorted(self._forbidden(graph))
        return ContractCheck(
            kept=not forbidden,
            warnings=list(removal.warnings),
            ignored_import_count=removal.ignored_import_count,
            metadata={"forbidden": forbidden},
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported in check.metadata["forbidden"]:
            output.print_error(f"{importer} must not import {imported}", bold=False)

    def _forbidden(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        rooms = self._listed("rooms")
        allowed = [*rooms, *self._listed("may_import")]
        libraries = self._listed("libraries")
        for importer in graph.modules:
            if not _is_in(importer, rooms) or importer.endswith(".__main__"):
                continue
            for imported in graph.find_modules_directly_imported_by(importer):
                if graph.is_module_squashed(imported):
                    fine = not libraries or imported in libraries
                else:
                    fine = _is_in(imported, allowed)
                if not fine:
                    yield importer, imported

    def _listed(self, name: str) -> list[str]:
        values: Iterable[str] | None = getattr(self, name)
        return list(values or ())


def _is_in(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
