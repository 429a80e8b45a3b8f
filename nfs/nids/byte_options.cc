#include "nfs/nids/byte_options.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <vector>

#include "nfs/nids/rule_text.h"

namespace hb::nids {
namespace {

constexpr std::int64_t kMaxOffset = 65535;
constexpr std::uint32_t kMaxBinaryBytes = 8;
constexpr std::uint32_t kMaxTextBytes = 23;

Error bad(std::string_view what, std::string_view text) {
  return Error{fmt::format("'{}' is no {}", text, what), ""};
}

/// A decimal or 0x number of 64 bits.
std::optional<std::uint64_t> parse_u64(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// A number, or 0 and a note in `unsupported` for a variable's name.
std::optional<std::int64_t> number_or_variable(std::string_view text, std::int64_t least,
                                               std::int64_t most, std::string_view option,
                                               std::set<std::string>& unsupported) {
  if (is_variable_name(text)) {
    unsupported.insert(fmt::format("{} of a variable", option));
    return 0;
  }
  return parse_integer(text, least, most);
}

/// Takes `relative`, `big`, `little`, `string`, `hex`, `dec`, `oct`; knows no other word.
class FieldOptions {
 public:
  /// @return false if the word is none of these
  bool take(std::string_view word, ByteField& field) {
    if (word == "relative") {
      field.relative = true;
    } else if (word == "little") {
      field.little_endian = true;
    } else if (word == "string") {
      is_text_ = true;
    } else if (word == "hex") {
      base_ = 16;
    } else if (word == "dec") {
      base_ = 10;
    } else if (word == "oct") {
      base_ = 8;
    } else {
      return word == "big";
    }
    return true;
  }
  Result<void> finish(ByteField& field) const {
    if (base_ != 0 && !is_text_) return Error{"hex, dec and oct need 'string'", ""};
    if (is_text_) field.base = base_ != 0 ? base_ : 10;
    const std::uint32_t most = is_text_ ? kMaxTextBytes : kMaxBinaryBytes;
    if (field.n_bytes == 0 || field.n_bytes > most) {
      return Error{fmt::format("{} bytes can't be read, only 1 to {}", field.n_bytes, most), ""};
    }
    return {};
  }

 private:
  bool is_text_ = false;
  std::uint8_t base_ = 0;
};

/// `<`, `>`, `=`, `<=`, `>=`, `&`, `^`, each after an optional `!`. `!` alone means `!=`.
Result<void> parse_operator(std::string_view text, ByteTest& test) {
  const std::string_view whole = text;
  if (text.starts_with('!')) {
    test.negated = true;
    text = trimmed(text.substr(1));
    if (text.empty()) return {};
  }
  using Op = ByteTest::Op;
  if (text == "=") {
    test.op = Op::kEqual;
  } else if (text == "<") {
    test.op = Op::kLess;
  } else if (text == ">") {
    test.op = Op::kGreater;
  } else if (text == "<=") {
    test.op = Op::kLessEqual;
  } else if (text == ">=") {
    test.op = Op::kGreaterEqual;
  } else if (text == "&") {
    test.op = Op::kAnd;
  } else if (text == "^") {
    test.op = Op::kXor;
  } else {
    return bad("operator", whole);
  }
  return {};
}

/// The word and what follows it after a blank: `multiplier 4`.
std::pair<std::string_view, std::string_view> word_and_value(std::string_view item) {
  const std::size_t blank = item.find_first_of(" \t");
  if (blank == std::string_view::npos) return {item, {}};
  return {item.substr(0, blank), trimmed(item.substr(blank))};
}

bool is_for_later(std::string_view word) { return word == "dce" || word == "from_variable"; }

}  // namespace

Result<ByteTest> parse_byte_test(std::string_view value, std::set<std::string>& unsupported) {
  const std::vector<std::string_view> items = split_commas(value);
  if (items.size() < 4) return Error{"needs bytes, operator, value and offset", ""};
  ByteTest test;
  const auto bytes = number_or_variable(items[0], 1, kMaxTextBytes, "byte_test", unsupported);
  if (!bytes) return bad("number of bytes", items[0]);
  test.field.n_bytes = static_cast<std::uint32_t>(*bytes);
  if (auto done = parse_operator(items[1], test); !done) return done.error();
  if (is_variable_name(items[2])) {
    unsupported.insert("byte_test of a variable");
  } else if (const auto wanted = parse_u64(items[2])) {
    test.value = *wanted;
  } else {
    return bad("value", items[2]);
  }
  const auto offset =
      number_or_variable(items[3], -kMaxOffset, kMaxOffset, "byte_test", unsupported);
  if (!offset) return bad("offset", items[3]);
  test.field.offset = static_cast<std::int32_t>(*offset);
  FieldOptions options;
  for (std::size_t i = 4; i < items.size(); ++i) {
    const auto [word, argument] = word_and_value(items[i]);
    if (word == "bitmask") {
      const auto mask = parse_u64(argument);
      if (!mask || *mask == 0) return bad("bitmask", argument);
      test.bitmask = *mask;
    } else if (is_for_later(word)) {
      unsupported.insert(fmt::format("byte_test:{}", word));
    } else if (!argument.empty() || !options.take(word, test.field)) {
      return bad("option of byte_test", items[i]);
    }
  }
  if (!unsupported.empty()) return test;
  if (auto done = options.finish(test.field); !done) return done.error();
  return test;
}

Result<ByteJump> parse_byte_jump(std::string_view value, std::set<std::string>& unsupported) {
  const std::vector<std::string_view> items = split_commas(value);
  if (items.size() < 2) return Error{"needs bytes and offset", ""};
  ByteJump jump;
  const auto bytes = number_or_variable(items[0], 1, kMaxTextBytes, "byte_jump", unsupported);
  if (!bytes) return bad("number of bytes", items[0]);
  jump.field.n_bytes = static_cast<std::uint32_t>(*bytes);
  const auto offset =
      number_or_variable(items[1], -kMaxOffset, kMaxOffset, "byte_jump", unsupported);
  if (!offset) return bad("offset", items[1]);
  jump.field.offset = static_cast<std::int32_t>(*offset);
  FieldOptions options;
  for (std::size_t i = 2; i < items.size(); ++i) {
    const auto [word, argument] = word_and_value(items[i]);
    if (word == "multiplier") {
      const auto factor = parse_integer(argument, 1, 65535);
      if (!factor) return bad("multiplier", argument);
      jump.multiplier = static_cast<std::uint32_t>(*factor);
    } else if (word == "post_offset") {
      const auto post =
          number_or_variable(argument, -kMaxOffset, kMaxOffset, "byte_jump", unsupported);
      if (!post) return bad("post_offset", argument);
      jump.post_offset = static_cast<std::int32_t>(*post);
    } else if (word == "align") {
      jump.align = true;
    } else if (word == "from_beginning") {
      jump.from = ByteJump::From::kStart;
    } else if (word == "from_end") {
      jump.from = ByteJump::From::kEnd;
    } else if (is_for_later(word)) {
      unsupported.insert(fmt::format("byte_jump:{}", word));
    } else if (!argument.empty() || !options.take(word, jump.field)) {
      return bad("option of byte_jump", items[i]);
    }
  }
  if (!unsupported.empty()) return jump;
  if (auto done = options.finish(jump.field); !done) return done.error();
  return jump;
}

Result<IsDataAt> parse_isdataat(std::string_view value, std::set<std::string>& unsupported) {
  IsDataAt test;
  if (value.starts_with('!')) {
    test.negated = true;
    value = trimmed(value.substr(1));
  }
  const std::vector<std::string_view> items = split_commas(value);
  const auto at = number_or_variable(items[0], 0, kMaxOffset, "isdataat", unsupported);
  if (!at) return bad("number of bytes", items[0]);
  test.at = static_cast<std::uint32_t>(*at);
  for (std::size_t i = 1; i < items.size(); ++i) {
    if (items[i] == "relative") {
      test.relative = true;
    } else if (items[i] != "rawbytes") {
      return bad("option of isdataat", items[i]);
    }
  }
  return test;
}

}  // namespace hb::nids
