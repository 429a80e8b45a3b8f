#include "nfs/nids/byte_value.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace hb::nids {
namespace {

/// Digits as strtoull reads them (blanks and a sign before them are allowed), at most 23 bytes.
std::optional<ByteValue> read_text(const std::uint8_t* at, std::size_t begin,
                                   const ByteField& field) noexcept {
  std::array<char, 24> text{};
  std::memcpy(text.data(), at, field.n_bytes);  // n_bytes is at most 23
  const int before = errno;
  errno = 0;
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text.data(), &end, field.base);
  const bool too_large = errno == ERANGE;
  errno = before;
  if (too_large || end == text.data()) return std::nullopt;
  return ByteValue{value, begin, begin + static_cast<std::size_t>(end - text.data())};
}

}  // namespace

std::optional<ByteValue> read_field(std::span<const std::uint8_t> bytes, std::size_t place,
                                    const ByteField& field) noexcept {
  const auto size = static_cast<std::int64_t>(bytes.size());
  const std::int64_t begin =
      (field.relative ? static_cast<std::int64_t>(place) : 0) + std::int64_t{field.offset};
  if (begin < 0 || begin > size || size - begin < std::int64_t{field.n_bytes}) return std::nullopt;
  const auto at = static_cast<std::size_t>(begin);
  if (field.base != 0) return read_text(bytes.data() + at, at, field);
  std::uint64_t value = 0;
  for (std::uint32_t i = 0; i < field.n_bytes; ++i) {
    const std::uint64_t byte = bytes[at + i];
    value = field.little_endian ? value | byte << (8 * i) : value << 8 | byte;
  }
  return ByteValue{value, at, at + field.n_bytes};
}

bool byte_test_matches(std::span<const std::uint8_t> bytes, std::size_t place,
                       const ByteTest& test) noexcept {
  const auto field = read_field(bytes, place, test.field);
  if (!field) return false;  // negated or not, as in Suricata
  std::uint64_t v = field->value;
  if (test.bitmask != 0) v = (v & test.bitmask) >> std::countr_zero(test.bitmask);
  bool matches = false;
  switch (test.op) {
    case ByteTest::Op::kEqual:
      matches = v == test.value;
      break;
    case ByteTest::Op::kLess:
      matches = v < test.value;
      break;
    case ByteTest::Op::kGreater:
      matches = v > test.value;
      break;
    case ByteTest::Op::kLessEqual:
      matches = v <= test.value;
      break;
    case ByteTest::Op::kGreaterEqual:
      matches = v >= test.value;
      break;
    case ByteTest::Op::kAnd:
      matches = (v & test.value) != 0;
      break;
    case ByteTest::Op::kXor:
      matches = (v ^ test.value) != 0;
      break;
  }
  return matches != test.negated;
}

std::optional<std::size_t> byte_jump_place(std::span<const std::uint8_t> bytes, std::size_t place,
                                           const ByteJump& jump) noexcept {
  const auto field = read_field(bytes, place, jump.field);
  if (!field) return std::nullopt;
  const std::uint64_t size = bytes.size();
  // Whatever is larger than this leads out of the buffer, and smaller numbers can't overflow below.
  constexpr std::uint64_t kFarOut = std::uint64_t{1} << 40;
  if (field->value > kFarOut) return std::nullopt;
  std::uint64_t distance = field->value * jump.multiplier;
  if (jump.align) distance = (distance + 3) / 4 * 4;
  std::int64_t to = static_cast<std::int64_t>(distance) + jump.post_offset;
  if (jump.from == ByteJump::From::kField) to += static_cast<std::int64_t>(field->end);
  if (jump.from == ByteJump::From::kEnd) to += static_cast<std::int64_t>(size);
  if (to < 0 || to > static_cast<std::int64_t>(size)) return std::nullopt;
  return static_cast<std::size_t>(to);
}

bool data_is_at(std::span<const std::uint8_t> bytes, std::size_t place,
                const IsDataAt& test) noexcept {
  const bool there = test.relative ? place + test.at <= bytes.size() : test.at < bytes.size();
  return there != test.negated;
}

}  // namespace hb::nids
