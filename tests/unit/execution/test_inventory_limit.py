import pytest

from ansible_api.errors import JobError
from ansible_api.execution.inventory_limit import check_matches, listed_hosts, literal_matches
from ansible_api.execution.inventory_snapshot import Members, Tree
from ansible_api.jobs.options import Options

TREE = Tree(
    ("z", "a", "b", "x.y"),
    {"g": Members(("b", "a")), "top": Members(("z",), ("g",)), "a": Members(("b",)), "x.y": Members(("a",))},
)


@pytest.mark.parametrize(
    ("limit", "hosts"),
    [
        (None, ["z", "a", "b", "x.y"]),
        ("all", ["z", "a", "b", "x.y"]),
        ("b,z", ["z", "b"]),
        ("b:z", ["z", "b"]),
        (" b , z ", ["z", "b"]),
        ("top", ["z", "a", "b"]),
        ("a", ["b"]),  # the group hides the host
        ("x.y", ["a", "x.y"]),
        ("nobody", []),
        (["z", "g"], ["z", "a", "b"]),
    ],
)
def test_names_are_looked_up_without_ansible(limit: str | list[str] | None, hosts: list[str]) -> None:
    assert literal_matches(limit, TREE) == hosts


@pytest.mark.parametrize(
    "limit",
    ["a*", "!a", "a,&b", "~a", "g[0]", "2001:db8::1", "a,", "a::b", "@file", ["g[0]"], ["a:b"], "a b", "a|b", "?"],
)
def test_what_only_ansible_understands_is_left_to_it(limit: str | list[str]) -> None:
    assert literal_matches(limit, TREE) is None


def test_listed_hosts_are_read_from_whatever_stands_around_them() -> None:
    assert listed_hosts("  hosts (2):\n    a\n    My VM \n") == ["a", "My VM "]
    assert listed_hosts("  hosts (0):\n") == []
    assert listed_hosts("") == []


@pytest.mark.parametrize(
    ("tree", "matched", "most", "code"),
    [
        (Tree((), {}), [], None, "inventory_empty"),
        (TREE, [], None, "limit_matches_nothing"),
        (TREE, ["a", "b"], 1, "too_many_hosts"),
    ],
)
def test_a_play_that_would_reach_nobody_or_too_many_is_refused(
    tree: Tree, matched: list[str], most: int | None, code: str
) -> None:
    with pytest.raises(JobError) as caught:
        check_matches(Options(max_hosts=most), tree, matched)
    assert caught.value.job_code == code


@pytest.mark.parametrize("most", [2, None])
def test_as_many_as_may_be_reached_are_none_too_many(most: int | None) -> None:
    check_matches(Options(max_hosts=most), TREE, ["a", "b"])
