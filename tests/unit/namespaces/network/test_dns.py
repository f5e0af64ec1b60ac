"""DNS messages, compared with dnspython, and garbage that must do nothing."""

from __future__ import annotations

import ipaddress
import struct

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.namespaces.network import dns as ours

LABELS = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=63), min_size=1, max_size=3
)


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, kind=st.sampled_from(["A", "AAAA", "PTR", "MX", "ANY"]), size=st.integers(0, 65535))
def test_reads_what_dnspython_writes(labels, kind, size):
    query = dns.message.make_query(".".join(labels), kind, use_edns=0 if size else -1, payload=size)
    read = ours.parse_query(query.to_wire())
    assert read.name == ".".join(labels).lower()
    assert read.id == query.id
    assert read.kind == dns.rdatatype.from_text(kind)
    assert read.edns is bool(size)
    assert read.size == (min(max(size, 512), 4096) if size else 512)


@settings(max_examples=40, deadline=None)
@given(
    labels=LABELS,
    four=st.lists(st.ip_addresses(v=4), max_size=80),
    six=st.lists(st.ip_addresses(v=6), max_size=40),
    edns=st.booleans(),
    tcp=st.booleans(),
)
def test_dnspython_reads_what_we_write(labels, four, six, edns, tcp):
    query = dns.message.make_query(".".join(labels), "ANY", use_edns=0 if edns else -1, payload=1232)
    records = [ours.address_record(str(address)) for address in (*four, *six)]
    wire = ours.answer(ours.parse_query(query.to_wire()), records, tcp=tcp)
    assert len(wire) <= (65535 if tcp else 1232 if edns else 512)
    reply = dns.message.from_wire(wire)
    assert query.is_response(reply)
    assert reply.rcode() == dns.rcode.NOERROR
    texts = [item.to_text() for rrset in reply.answer for item in rrset]
    if reply.flags & dns.flags.TC:
        assert not tcp
        assert len(texts) <= len(records)
    else:
        assert {ipaddress.ip_address(text) for text in texts} == {*four, *six}
    assert (reply.edns == 0) is edns


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=600))
def test_garbage_gets_an_error_reply_or_nothing(data):
    reply = b""
    try:
        ours.parse_query(data)
    except ours.MalformedError as error:
        reply = error.reply
    assert reply[:2] in (b"", data[:2])


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=12, max_size=80), st.integers(0, 700), st.integers(0, 255))
def test_damaged_queries_do_not_crash(tail, position, value):
    wire = bytearray(dns.message.make_query("web.back", "A", use_edns=0).to_wire() + tail)
    wire[position % len(wire)] = value
    try:
        query = ours.parse_query(bytes(wire))
    except ours.MalformedError:
        return
    dns.message.from_wire(ours.answer(query, []), ignore_trailing=True)


def header(flags=0x0100, questions=1, answers=0):
    return struct.pack("!HHHHHH", 7, flags, questions, answers, 0, 0)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", None),
        (header()[:11], None),
        (header(flags=0x8180), None),  # a response: answering would make a loop
        (header(flags=0x2000) + b"\3web\0\0\1\0\1", ours.NOTIMP),
        (header(questions=0), ours.FORMERR),
        (header(questions=65535), ours.FORMERR),
        (header(questions=2) + b"\3web\0\0\1\0\1" * 2, ours.FORMERR),
        (header() + b"\xc0\x0c\0\1\0\1", ours.FORMERR),  # a name that points at itself
        (header() + b"\x3fshort\0\0\1\0\1", ours.FORMERR),
        (header() + b"\1a" * 200 + b"\0\0\1\0\1", ours.FORMERR),
        (header() + b"\3web\0\0\1", ours.FORMERR),
        (header() + b"\3web\0\0\1\0\3", ours.NOTIMP),  # class CHAOS
    ],
)
def test_what_is_not_a_query(data, code):
    with pytest.raises(ours.MalformedError) as caught:
        ours.parse_query(data)
    if code is None:
        assert caught.value.reply == b""
    else:
        reply = dns.message.from_wire(caught.value.reply)
        assert (reply.id, reply.rcode()) == (7, code)


@settings(max_examples=40, deadline=None)
@given(st.ip_addresses())
def test_reverse_names(address):
    assert ours.pointed_address(address.reverse_pointer) == str(address)


@pytest.mark.parametrize(
    "name", ["1.2.3.in-addr.arpa", "x.1.2.3.4.in-addr.arpa", "1.ip6.arpa", "zz.ip6.arpa", "web"]
)
def test_names_that_are_not_reverse_names(name):
    assert ours.pointed_address(name) == ""


def test_only_the_answer_to_the_question_is_believed():
    query = dns.message.make_query("example.org", "A")
    wire = query.to_wire()
    question = wire[12:]
    reply = dns.message.make_response(query)
    assert ours.answers(reply.to_wire(), query.id, question) == ours.NOERROR
    assert ours.answers(reply.to_wire(), query.id ^ 1, question) is None
    assert ours.answers(wire, query.id, question) is None
    other = dns.message.make_response(dns.message.make_query("evil.org", "A", id=query.id))
    assert ours.answers(other.to_wire(), query.id, question) is None
    assert ours.answers(b"\0" * 5, query.id, question) is None
