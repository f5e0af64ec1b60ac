"""What containers read about names."""

from __future__ import annotations

import pytest

from composer.engine import Attachment, ContainerConfig, ContainerState, Endpoint, Process
from composer.errors import EngineError
from composer.namespaces.network import files
from composer.namespaces.network.zones import zones

ID = "c" * 64


def config(**options):
    return ContainerConfig(id=ID, name="web-1", process=Process(args=("true",)), **options)


@pytest.fixture
def host(tmp_path, monkeypatch):
    def write(text, stub=""):
        (tmp_path / "resolv.conf").write_text(text)
        (tmp_path / "systemd").write_text(stub)

    monkeypatch.setattr(files, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(files, "_SYSTEMD_RESOLV_CONF", str(tmp_path / "systemd"))
    return write


def test_resolv_conf_is_read_as_the_man_page_says():
    text = "# c\nnameserver 10.0.0.1 # x\nnameserver nonsense\nnameserver fe80::1%eth0\ndomain a\nsearch b c\noptions x\noptions y;\n"
    assert files.parse(text) == files.ResolvConf(("10.0.0.1", "fe80::1%eth0"), ("b", "c"), ("x", "y"))


def test_container_on_a_network_asks_us(host):
    host("nameserver 10.0.0.1\nsearch corp\noptions edns0\n")
    made = files.resolv_conf(config(attachments=(Attachment(network="n"),), dns=("9.9.9.9",)))
    assert made == "nameserver 127.0.0.11\nsearch corp\noptions edns0 ndots:0\n"


def test_own_search_and_options_win(host):
    host("nameserver 10.0.0.1\nsearch corp\noptions edns0\n")
    made = files.resolv_conf(
        config(attachments=(Attachment(network="n"),), dns_search=(".",), dns_options=("ndots:3",))
    )
    assert made == "nameserver 127.0.0.11\noptions ndots:3\n"


def test_host_network_has_the_hosts_servers(host):
    host("nameserver 127.0.0.53\n", stub="nameserver 10.0.0.9\n")
    assert files.resolv_conf(config(network_mode="host")) == "nameserver 127.0.0.53\n"
    assert files.resolv_conf(config(network_mode="host", dns=("1.1.1.1",))) == "nameserver 1.1.1.1\n"


def test_servers_behind_systemd_resolved_are_found_and_followed(host, tmp_path):
    host("nameserver 127.0.0.53\nsearch lan\n", stub="nameserver 10.0.0.9\n")
    servers = files.HostServers()
    assert servers() == ("10.0.0.9",)
    host("nameserver 10.0.0.4\nnameserver 10.0.0.5\nnameserver 10.0.0.6\nnameserver 10.0.0.7\n")
    assert servers() == ("10.0.0.4", "10.0.0.5", "10.0.0.6")
    host("nameserver 127.0.0.1\n")
    assert servers() == ("127.0.0.1",)
    (tmp_path / "resolv.conf").unlink()
    assert servers() == ()


def test_hosts_file():
    made = files.hosts_file(
        config(extra_hosts=("api=10.1.1.1", "api=[fd00::1]", "me=host-gateway"), domainname="lan"),
        (),
        "172.18.0.1",
    )
    assert made.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost")
    assert made.endswith("10.1.1.1\tapi\nfd00::1\tapi\n172.18.0.1\tme\n")


@pytest.mark.parametrize("entry", ["api", "api=", "api=1.2.3", "me=host-gateway"])
def test_hosts_entries_that_make_no_sense(entry):
    with pytest.raises(EngineError, match="extra_hosts"):
        files.hosts_file(config(extra_hosts=(entry,)), (), "")


def state(name, address, status="running", aliases=("web",), ident=ID):
    endpoint = Endpoint("n1", "back", "eth0", "", address, aliases=aliases)
    made = ContainerConfig(id=ident, name=name, process=Process(args=("true",)))
    return ContainerState(id=ident, name=name, status=status, config=made, endpoints=(endpoint,))


@pytest.mark.parametrize("status", ["created", "exited", "restarting", "stopping", "dead"])
def test_names_of_containers_that_do_not_run_have_no_address(status):
    made = zones([state("web-1", "10.0.0.2"), state("web-2", "10.0.0.3", status, ident="d" * 64)])
    assert made["n1"].names == {
        "web": ("10.0.0.2",),
        "web-1": ("10.0.0.2",),
        "c" * 12: ("10.0.0.2",),
        "web-2": (),
        "d" * 12: (),
    }
    assert made["n1"].pointers == {"10.0.0.2": "web-1"}
    assert made["n1"].network_name == "back"


def test_hosts_are_edited_in_place_and_keep_what_the_container_wrote(tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(b"127.0.0.1\tlocalhost\n10.0.0.2\tbox\n10.0.0.2 box other\n\xff mine")
    inode = path.stat().st_ino
    files.edit_hosts(path, ["10.1.0.2\tbox\n", "127.0.0.1\tlocalhost\n"], ["10.0.0.2\tbox\n", "absent\n"])
    assert path.read_bytes() == b"127.0.0.1\tlocalhost\n10.0.0.2 box other\n\xff mine\n10.1.0.2\tbox\n"
    assert path.stat().st_ino == inode
    files.edit_hosts(path, (), ["10.1.0.2\tbox\n"])
    assert path.read_bytes().endswith(b"mine\n")


def test_hosts_that_are_huge_or_gone_are_left_alone(tmp_path):
    path = tmp_path / "hosts"
    files.edit_hosts(path, ["a\n"], ())
    assert not path.exists()
    path.write_bytes(b"x" * (1 << 20) + b"y")
    files.edit_hosts(path, ["a\n"], ())
    assert path.stat().st_size == (1 << 20) + 1
