// Packets and rule sets that the benchmarks of nids run over.
#pragma once

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "nf_lib/decode.h"
#include "nfs/nids/rule_parser.h"
#include "nfs/nids/rule_set.h"
#include "tests/unit/capture_reader.h"
#include "tests/unit/frame_builder.h"

namespace hb::nids {

using Frames = std::vector<test::Frame>;

inline const Content& fast_content(const Rule& rule) {
  const ContentPlace place = *fast_content_place(rule);
  return std::get<Content>(rule.buffers[place.buffer].steps[place.step]);
}

inline test::Frame tcp_frame(const std::string& payload) {
  return test::FrameBuilder().ipv4(6).tcp(40000, 80).text(payload).done();
}

inline Frames random_frames(std::mt19937& rng) {
  Frames frames(256);
  for (test::Frame& frame : frames) {
    std::string payload(1400, '\0');
    for (char& c : payload) c = static_cast<char>(rng());
    frame = tcp_frame(payload);
  }
  return frames;
}

/// Requests with header lines out of made-up words.
inline Frames http_frames(std::mt19937& rng) {
  const auto word = [&](std::size_t most) {
    std::string text(2 + rng() % most, '\0');
    for (char& c : text)
      c = "etaoinshrdlucmfwypvbgkqjxz0123456789-_"[std::min(rng() % 38, rng() % 38)];
    return text;
  };
  Frames frames(256);
  for (test::Frame& frame : frames) {
    std::string payload = "GET /" + word(8) + "/" + word(12) + "?" + word(5) + "=" + word(9) +
                          " HTTP/1.1\r\nHost: www." + word(10) + ".com\r\n";
    while (payload.size() < 1300) payload += word(10) + ": " + word(20) + " " + word(30) + "\r\n";
    frame = tcp_frame(payload + "\r\n");
  }
  return frames;
}

inline Frames captured_frames() {
  Frames frames;
  for (const auto& path : test::capture_files()) {
    for (test::Frame& frame : test::read_capture(path)) {
      if (decode_packet(frame).l4_payload_length > 0) frames.push_back(std::move(frame));
    }
  }
  return frames;
}

/// Each holds the contents of some rules and so sends them into the full evaluation.
inline Frames hitting_frames(const RuleSet& rules, std::mt19937& rng) {
  Frames frames(256);
  for (test::Frame& frame : frames) {
    std::string payload;
    while (payload.size() < 1300) {
      const Rule& rule = rules.rules[rng() % rules.rules.size()];
      if (fast_content_place(rule)) payload += fast_content(rule).bytes;
    }
    frame = tcp_frame(payload.substr(0, 1400));
  }
  return frames;
}

inline RuleSet first_rules(const RuleSet& all, std::size_t n) {
  RuleSet set;
  for (const Rule& rule : all.rules) {
    if (set.rules.size() < n && fast_content_place(rule)) set.rules.push_back(rule);
  }
  return set;
}

/// As many as the largest public rule sets have, of contents as long as theirs.
inline RuleSet made_up_rules(std::size_t n, std::mt19937& rng) {
  RuleSet set;
  for (std::size_t i = 0; i < n; ++i) {
    std::string content(6 + rng() % 18, '\0');
    for (char& c : content) c = "abcdefghijklmnopqrstuvwxyz/.=-_&%0123456789"[rng() % 43];
    set.rules.push_back(parse_rule("alert tcp any any -> any any (content:\"" + content +
                                   "\"; sid:" + std::to_string(i + 1) + ";)")
                            .rule);
  }
  return set;
}

/// The rule files of tests/data, in order.
inline std::vector<std::string> rule_files() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(test::data_dir() / "rules"))
    if (entry.path().filename().string().starts_with("emerging-")) paths.push_back(entry.path());
  std::ranges::sort(paths);
  return paths;
}

}  // namespace hb::nids
