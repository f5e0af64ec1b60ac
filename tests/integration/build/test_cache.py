"""What is carried out again after which change, and what stays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.build.conftest import Workshop

pytestmark = pytest.mark.root

UUID = "cat /proc/sys/kernel/random/uuid"


def test_the_same_again_gives_the_same_image(workshop: Workshop) -> None:
    workshop.write("f", "1")
    text = f"FROM busybox\nCOPY f /f\nENV a=b\nRUN {UUID} > /u\n"
    workshop.build(text)
    first = workshop.image()
    workshop.build(text)
    assert workshop.image().id == first.id
    workshop.build(text, "--no-cache")
    assert workshop.image().id != first.id


def test_an_unchanged_image_without_layers_has_one_id(workshop: Workshop) -> None:
    workshop.build("FROM scratch\nENV a=b\n")
    first = workshop.image().id
    workshop.build("FROM scratch\nENV a=b\n")
    assert workshop.image().id == first


def test_a_change_misses_from_its_line_on(workshop: Workshop) -> None:
    workshop.write("f", "1")
    text = f"FROM busybox\nRUN {UUID} > /before\nCOPY f /f\nRUN {UUID} > /after\n"
    workshop.build(text)
    before, after = workshop.read("before"), workshop.read("after")
    workshop.write("f", "2")
    workshop.build(text)
    assert workshop.read("before") == before
    assert workshop.read("after") != after
    workshop.write("f", "1")
    workshop.build(text)
    assert workshop.read("after") == after


def test_labels_and_commands_miss_nothing(workshop: Workshop) -> None:
    text = f'FROM busybox\nLABEL a={{0}}\nCMD ["{{0}}"]\nRUN {UUID} > /u\n'
    workshop.build(text.format(1))
    seen = workshop.read("u")
    workshop.build(text.format(2), "--label", "x=y")
    assert workshop.read("u") == seen
    assert workshop.image().config.labels == {"a": "2", "x": "y"}


def test_a_stage_with_the_same_bytes_leaves_what_follows_cached(workshop: Workshop) -> None:
    text = f"FROM busybox AS b\nCOPY f /f\nRUN wc -c < /f > /n\nFROM busybox\nCOPY --from=b /n /n\nRUN {UUID} > /u\n"
    workshop.write("f", "11")
    workshop.build(text)
    seen = workshop.read("u")
    workshop.write("f", "22")
    workshop.build(text)
    assert workshop.read("u") == seen
    workshop.write("f", "333")
    workshop.build(text)
    assert workshop.read("u") != seen


def test_no_cache_filter_names_stages(workshop: Workshop) -> None:
    text = f"FROM busybox AS a\nRUN {UUID} > /a\nFROM a AS b\nRUN {UUID} > /b\n"
    workshop.build(text)
    a, b = workshop.read("a"), workshop.read("b")
    workshop.build(text, "--no-cache-filter", "b")
    assert workshop.read("a") == a
    assert workshop.read("b") != b


def test_two_builds_at_once_run_a_step_once(workshop: Workshop) -> None:
    text = f"FROM busybox\nRUN sleep 0.5; {UUID} > /u\n"
    workshop.write("Dockerfile", text)
    failures = []

    def build(tag: str) -> None:
        done = workshop.home.run("image", "build", "-t", tag, str(workshop.context), check=False)
        if done.code:
            failures.append(done.err)

    threads = [threading.Thread(target=build, args=(f"at-once-{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({workshop.image(f"at-once-{number}").id for number in range(3)}) == 1


def test_export_and_import(workshop: Workshop) -> None:
    from composer.build.records import Records, forget_old

    text = f"FROM busybox\nRUN {UUID} > /u\n"
    cache = workshop.root / "cache"
    workshop.build(text, "--cache-to", f"type=local,dest={cache}")
    seen = workshop.read("u")
    workshop.home.run("image", "rm", "it")
    assert forget_old(Records(workshop.store))[0] > 0
    workshop.home.run("image", "prune", "-f", check=False)
    workshop.build(text, "--cache-from", f"type=local,src={cache}")
    assert workshop.read("u") == seen


def test_source_date_epoch_makes_equal_digests(workshop: Workshop) -> None:
    workshop.write("f", "1")
    text = "FROM busybox\nARG SOURCE_DATE_EPOCH\nCOPY f /d/f\nRUN date > /dev/null; mkdir /x && echo y > /x/y\nWORKDIR /w\n"
    ids = set()
    for _ in range(2):
        workshop.build(text, "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--no-cache")
        ids.add(workshop.image().id)
    assert len(ids) == 1
    assert workshop.image().created == "2023-11-14T22:13:20Z"
    made = workshop.stat("x/y")
    assert made is not None
    assert made.st_mtime <= 1700000000


def test_export_to_a_registry_and_import_from_it(workshop: Workshop, registry: str) -> None:
    from composer.build.records import Records, forget_old

    text = f"FROM busybox\nRUN {UUID} > /u\n"
    missing = workshop.build(text, "--cache-from", f"{registry}/cache:x")
    assert "there is no cache at" in missing.err
    workshop.build(text, "--cache-to", f"type=registry,ref={registry}/cache:x")
    seen = workshop.read("u")
    workshop.home.run("image", "rm", "it")
    forget_old(Records(workshop.store))
    workshop.build(text, "--cache-from", f"{registry}/cache:x")
    assert workshop.read("u") == seen


def test_a_registry_that_is_away_costs_only_a_warning(workshop: Workshop) -> None:
    done = workshop.build("FROM busybox\nRUN true\n", "--cache-from", "127.0.0.1:1/cache")
    assert "cannot import the cache" in done.err
