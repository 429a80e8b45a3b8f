"""What the figures rest on: the search for the loss-free rate, and that wrong outputs are told."""

import random
import sys
from pathlib import Path

import pytest
from harness import CAPTURES

FIGURES = Path(__file__).resolve().parents[1] / "bench" / "figures"
sys.path.insert(0, str(FIGURES))

import nfs  # noqa: E402
import outputs  # noqa: E402
from rfc2544 import search  # noqa: E402


@pytest.mark.parametrize("seed", range(50))
def test_the_search_comes_within_its_resolution_of_what_a_platform_can_do(seed):
    rng = random.Random(seed)
    able, ceiling = rng.uniform(0, 10), rng.uniform(1, 10)
    tried = []

    def trial(rate):
        assert 0 < rate <= ceiling, "no rate that makes no sense"
        tried.append(rate)
        return {"rate": rate, "passed": rate <= able}

    best = search(trial, ceiling, 0.1, rng.uniform(0.1, ceiling))
    found = best["rate"] if best else 0.0
    assert found <= able
    assert min(able, ceiling) - found <= 0.1 * 1.01
    assert len(tried) <= 20 and len(set(tried)) == len(tried)


def test_a_rate_far_below_the_resolution_is_found_too():
    best = search(lambda rate: {"rate": rate, "passed": rate <= 0.4}, 10, 1, 10)
    assert 0.36 <= best["rate"] <= 0.4
    assert search(lambda rate: {"rate": rate, "passed": False}, 10, 1, 10) is None


def test_a_good_guess_takes_few_trials():
    tried = []

    def trial(rate):
        tried.append(rate)
        return {"rate": rate, "passed": rate <= 7.03}

    assert search(trial, 10, 0.2, 7.0)["rate"] == 7.0
    assert len(tried) == 2


FRAME = (bytes((2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)) + b"\x08\x00\x45\0\0\x3c\0\7\x40\0\x40\x11\xa0\xbf"
         b"\x0a\0\0\5\xc6\x12\0\1\xc0\0\0\x09\0\x28\0\0" + bytes(range(32)))


def whole_frame():
    header = bytearray(FRAME[14:34])
    header[10:12] = b"\0\0"
    header[10:12] = (0xFFFF - outputs.one_complement_sum(bytes(header))).to_bytes(2, "big")
    return FRAME[:14] + bytes(header) + FRAME[34:]


def test_a_changed_bit_of_a_generated_packet_is_told():
    frame, payloads = whole_frame(), bytes(range(64))
    assert outputs.wrong_with(frame, len(frame), payloads, 64, False) == ""
    for at in range(len(frame)):
        changed = bytearray(frame)
        changed[at] ^= 1
        assert outputs.wrong_with(bytes(changed), len(frame), payloads, 64, False), f"byte {at}"
    assert outputs.wrong_with(frame[:-1], len(frame), payloads, 64, False)
    assert outputs.wrong_with(frame, len(frame), payloads, 63, False)


def test_rules_of_the_figures_hit_their_payloads_in_one_place(tmp_path):
    payloads = outputs.payloads_of(CAPTURES / "zeek-http_methods.pcap")
    n = nfs.write_rules(tmp_path / "udp.rules", nfs.rule_files(), 147, payloads)
    rules = (tmp_path / "udp.rules").read_text().splitlines()
    assert n == len(rules) == 147
    assert all(rule.startswith("alert udp any any -> any any (") for rule in rules)
    assert payloads.count(nfs.longest_content(rules[0])) == 1
    assert not any(nfs.longest_content(rule).lower() in payloads.lower() for rule in rules[1:])


def test_alerts_are_found_by_time_and_source(tmp_path):
    line = ('{{"timestamp":"2010-04-15T10:34:50.{us:06}+0000","pcap_cnt":7,"event_type":"alert",'
            '"src_ip":"10.0.0.{last}","src_port":1,"alert":{{"signature_id":{sid}}}}}\n')
    path = tmp_path / "alerts.json"
    path.write_text(line.format(us=5, last=1, sid=8) + line.format(us=5, last=2, sid=8) +
                    line.format(us=6, last=1, sid=9))
    when = outputs.microseconds("2010-04-15T10:34:50.000005+0000")
    assert when == 1271327690000005
    assert outputs.alerts_on([path], {(when, "10.0.0.1"): False}) == {(when, "10.0.0.1"): {8: 1}}
