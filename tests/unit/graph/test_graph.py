from __future__ import annotations

import itertools

import pytest

from composer.errors import SpecError
from composer.graph import Edge, Graph, shortest_cycle, to_dot, to_mermaid, to_text
from composer.spec.model import Project


def project(services, **more):
    services = {name: {"image": "x", **(value or {})} for name, value in services.items()}
    return Project.from_canonical({"name": "p", "services": services}, **more)


def needs(*names, **fields):
    return {name: {"condition": "service_started", **fields} for name in names}


def test_what_is_needed_comes_first():
    graph = Graph.of(
        project({"web": {"depends_on": needs("api")}, "api": {"depends_on": needs("db")}, "db": {}})
    )
    assert graph.order == ("db", "api", "web")


@pytest.mark.parametrize("attribute", ["network_mode", "ipc", "pid", "uts", "cgroup"])
def test_a_shared_namespace_is_an_edge_that_restarts(attribute):
    graph = Graph.of(project({"a": {attribute: "service:b"}, "b": {}}))
    assert graph.edges == (Edge("a", "b", restart=True, reasons=(attribute,)),)


def test_links_restart_and_volumes_from_does_not():
    graph = Graph.of(
        project({"a": {"links": ["b:alias"], "volumes_from": ["c:ro", "container:other"]}, "b": {}, "c": {}})
    )
    assert [(edge.needs, edge.restart) for edge in graph.needs("a")] == [("b", True), ("c", False)]


def test_what_depends_on_says_wins_over_what_follows_from_links():
    graph = Graph.of(
        project({"a": {"links": ["b"], "depends_on": needs("b", condition="service_healthy")}, "b": {}})
    )
    assert graph.edges == (Edge("a", "b", "service_healthy", reasons=("depends_on", "links")),)


def test_a_cycle_is_refused_with_its_path_and_place():
    services = {"a": {"depends_on": needs("b")}, "b": {"links": ["c"]}, "c": {"depends_on": needs("a")}}
    with pytest.raises(SpecError) as caught:
        Graph.of(project(services, locations={"services.a.depends_on": ("f.yaml", 3, 5)}))
    assert str(caught.value) == (
        "f.yaml:3:5: services.a.depends_on: dependency cycle detected: a -> b -> c -> a"
        " (remove one of these dependencies)"
    )


def test_the_shortest_cycle_is_named():
    edges = [Edge("a", "b"), Edge("b", "c"), Edge("c", "a"), Edge("c", "b")]
    assert shortest_cycle("abc", edges) == ("b", "c", "b")


def test_a_service_that_needs_itself():
    assert shortest_cycle("a", [Edge("a", "a")]) == ("a", "a")
    with pytest.raises(SpecError, match="a -> a"):
        Graph("a", [Edge("a", "a")])


def test_an_undefined_service_is_refused_unless_optional():
    with pytest.raises(SpecError, match='service "a" depends on undefined service "zz"'):
        Graph.of(project({"a": {"depends_on": needs("zz")}}))
    assert Graph.of(project({"a": {"depends_on": needs("zz", required=False)}})).edges == ()


def test_closures_go_both_ways():
    graph = Graph("abcd", [Edge("a", "b"), Edge("b", "c")])
    assert graph.with_dependencies("b") == {"b", "c"}
    assert graph.with_dependents("b") == {"a", "b"}
    assert graph.with_dependents(["d", "nothing"]) == {"d"}
    assert graph.sorted({"a", "c"}) == ("c", "a")


def test_an_edge_that_follows_from_others_is_not_drawn():
    graph = Graph("abc", [Edge("a", "b"), Edge("b", "c"), Edge("a", "c")])
    assert [(edge.service, edge.needs) for edge in graph.reduced()] == [("a", "b"), ("b", "c")]


def test_a_stronger_condition_is_always_drawn():
    graph = Graph("abc", [Edge("a", "b"), Edge("b", "c"), Edge("a", "c", "service_healthy")])
    assert Edge("a", "c", "service_healthy") in graph.reduced()


def test_exports():
    graph = Graph(["web", "db"], [Edge("web", "db", "service_healthy", required=False)])
    assert to_text(graph) == "db\nweb <- db (healthy (optional))\n"
    assert '"web" -> "db" [label="healthy (optional)", style=dashed];' in to_dot(graph)
    assert "s1 -.->|healthy (optional)| s0" in to_mermaid(graph)


def test_a_thousand_services_in_a_row_need_no_recursion():
    names = [f"s{number}" for number in range(1000)]
    graph = Graph(names, [Edge(a, b) for a, b in itertools.pairwise(names)])
    assert graph.order[0] == "s999"
    assert len(graph.with_dependencies(["s0"])) == 1000
