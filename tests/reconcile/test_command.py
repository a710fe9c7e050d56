"""``wardstock reconcile`` as a person and a program see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import app.reconcile
from app.cli import main
from app.embedded import Addresses
from app.reconcile import reconcile
from tests.reconcile import books as b
from tests.reconcile.books import Bookkeeper
from tests.reconcile.kafka import Encoder, create_topics, delete_topics, write

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    cluster: Addresses, unique: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Runs the command on topics of the test's own; exit code, stdout and stderr."""
    create_topics(cluster.bootstrap_servers, unique)
    monkeypatch.setattr(app.reconcile, "reconcile", partial(reconcile, prefix=unique))
    monkeypatch.setenv("WARDSTOCK_BOOTSTRAP_SERVERS", cluster.bootstrap_servers)
    monkeypatch.setenv("WARDSTOCK_REGISTRY_URL", cluster.registry_url)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["reconcile", *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield run
    delete_topics(cluster.bootstrap_servers, unique)


def publish(cluster: Addresses, unique: str, books: Bookkeeper) -> None:
    write(cluster.bootstrap_servers, unique, iter(books.settle()), Encoder(cluster.registry_url, unique))


def test_books_that_balance_exit_0_and_say_so(cluster: Addresses, unique: str, books: Bookkeeper, run: Run) -> None:
    publish(cluster, unique, books)
    code, out, err = run()
    assert (code, out.splitlines()[-1]) == (0, "The books balance: 29 distinct events, each applied exactly once.")
    assert "offsets" in err  # progress goes elsewhere than the result


def test_differences_exit_1_and_are_named(cluster: Addresses, unique: str, books: Bookkeeper, run: Run) -> None:
    books.log.rows[b.POSTINGS].pop()
    publish(cluster, unique, books)
    code, out, _ = run("--show", "1")
    assert code == 1
    assert out.splitlines()[-1].startswith("The books do not balance: lost 1, doubled 0, wrong ")
    assert "caused" in out
    assert "more: --show" in out


def test_json_has_every_figure_and_difference(cluster: Addresses, unique: str, books: Bookkeeper, run: Run) -> None:
    books.log.rows[b.LEDGER].append(books.log.rows[b.LEDGER][0])
    publish(cluster, unique, books)
    code, out, _ = run("--json")
    said = json.loads(out)
    assert (code, said["ok"], said["duplicated"]) == (1, False, len(said["differences"]))
    assert {"kind", "rule", "what", "key", "expected", "found"} == set(said["differences"][0])
    assert said["differences"][0]["kind"] == "doubled"


def test_a_broker_that_does_not_answer_exits_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.reconcile.log._ANSWER_S", 1.0)
    monkeypatch.setenv("WARDSTOCK_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    code, _, err = run()
    assert code == 3
    assert "127.0.0.1:1" in err
