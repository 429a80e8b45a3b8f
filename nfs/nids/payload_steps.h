// What a rule asks of a buffer: contents, pcre, byte_test, byte_jump, isdataat, in the rule's
// order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace hb::nids {

class PcrePattern;

/// The bytes that steps are tried on. Named buffers (http.uri, dns.query, ...) are to come here:
/// the evaluator asks Buffers::bytes() for each.
enum class Buffer : std::uint8_t {
  kPayload,  ///< the L4 payload; for `ip` rules the IP payload
};

/// A string that the buffer must hold, or must not.
///
/// The window in which it must lie is [offset, offset + depth) of the buffer or, when relative,
/// [p + distance, p + distance + within), where p is the place that the steps before have reached.
struct Content {
  std::string bytes;    ///< as the rule means it: escapes and |hex| are resolved; not empty
  bool nocase = false;  ///< ASCII letters match in both cases; `bytes` is in lower case then
  bool negated = false;
  bool has_offset = false;
  bool has_distance = false;
  bool starts_with = false;
  bool ends_with = false;  ///< its last byte is the buffer's last
  std::uint32_t offset = 0;
  std::uint32_t depth = 0;  ///< 0: to the buffer's end
  std::int32_t distance = 0;
  std::uint32_t within = 0;  ///< 0: to the buffer's end
  bool fast_pattern = false;
  bool fast_only = false;         ///< may lie anywhere; not part of the chain of relative steps
  std::uint32_t fast_offset = 0;  ///< of the bytes that are searched first
  std::uint32_t fast_length = 0;  ///< 0: all

  [[nodiscard]] bool is_relative() const noexcept { return has_distance || within != 0; }
  [[nodiscard]] bool is_absolute() const noexcept { return has_offset || depth != 0; }
  /// Lies anywhere in the buffer: finding it once says all.
  [[nodiscard]] bool is_anywhere() const noexcept {
    return !negated && !is_relative() && !is_absolute() && !ends_with;
  }
};

/// How a number is read out of the buffer.
struct ByteField {
  std::uint32_t n_bytes = 0;  ///< 1..8, as text 1..23
  std::int32_t offset = 0;    ///< from the buffer's start, or from the place reached so far
  bool relative = false;
  bool little_endian = false;
  std::uint8_t base = 0;  ///< 8, 10 or 16 for text; 0 for binary numbers
};

struct ByteTest {
  enum class Op : std::uint8_t { kEqual, kLess, kGreater, kLessEqual, kGreaterEqual, kAnd, kXor };
  ByteField field;
  Op op = Op::kEqual;
  bool negated = false;
  std::uint64_t value = 0;
  std::uint64_t bitmask = 0;  ///< 0: none
};

struct ByteJump {
  enum class From : std::uint8_t { kField, kStart, kEnd };
  ByteField field;
  From from = From::kField;  ///< where the jump starts: behind the field, the buffer's start or end
  bool align = false;        ///< the number is rounded up to a multiple of 4
  std::uint32_t multiplier = 1;
  std::int32_t post_offset = 0;
};

struct IsDataAt {
  std::uint32_t at = 0;
  bool relative = false;
  bool negated = false;
};

struct Pcre {
  std::shared_ptr<const PcrePattern> pattern;
  bool relative = false;  ///< /R: the subject starts at the place reached so far
  bool negated = false;
};

using PayloadStep = std::variant<Content, ByteTest, ByteJump, IsDataAt, Pcre>;

/// The steps of one buffer, in the rule's order.
struct BufferSteps {
  Buffer buffer = Buffer::kPayload;
  std::vector<PayloadStep> steps;
};

/// ASCII only, whatever the locale: what `nocase` means in rules.
constexpr char to_lower_ascii(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace hb::nids
