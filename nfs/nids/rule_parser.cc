#include "nfs/nids/rule_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "nfs/nids/byte_options.h"
#include "nfs/nids/content_parser.h"
#include "nfs/nids/packet_options.h"
#include "nfs/nids/pcre_pattern.h"
#include "nfs/nids/rule_text.h"
#include "nfs/nids/set_expression.h"

namespace hb::nids {
namespace {

constexpr std::array<std::string_view, 16> kActions = {
    "alert", "drop",     "pass",    "reject", "rejectsrc", "rejectdst", "rejectboth", "log",
    "sdrop", "activate", "dynamic", "block",  "react",     "rewrite",   "config",     "accept"};

/// Options that describe a rule and do not change what it matches.
constexpr std::array<std::string_view, 4> kInformational = {"reference", "metadata", "target",
                                                            "rem"};

template <std::size_t n>
bool is_one_of(std::string_view word, const std::array<std::string_view, n>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::optional<Action> parse_action(std::string_view name) {
  if (name == "alert") return Action::kAlert;
  if (name == "pass") return Action::kPass;
  if (name == "drop") return Action::kDrop;
  if (name == "reject") return Action::kReject;
  return std::nullopt;
}

/// Sets the protocol, and the IP version that `ip4` and `ip6` want.
/// @return false if rules of this protocol are not judged
bool parse_protocol(std::string_view name, Rule& rule) {
  RuleProtocol& protocol = rule.header.protocol;
  if (name == "tcp" || name == "tcp-pkt") {
    protocol = RuleProtocol::kTcp;
  } else if (name == "udp") {
    protocol = RuleProtocol::kUdp;
  } else if (name == "icmp") {
    protocol = RuleProtocol::kIcmp;
  } else if (name == "ip" || name == "ip4" || name == "ipv4" || name == "ip6" || name == "ipv6") {
    protocol = RuleProtocol::kIp;
    if (name.ends_with('4')) rule.tests.ip_version = 4;
    if (name.ends_with('6')) rule.tests.ip_version = 6;
  } else {
    return false;
  }
  return true;
}

/// Fills one ParsedRule, step by step; each step returns why the rule is malformed, or success.
class RuleParser {
 public:
  RuleParser(ParsedRule& parsed, const Variables* variables) : parsed_(parsed) {
    variable_use_.variables = variables;
  }

  Result<void> parse(std::string_view text) {
    const std::size_t open = text.find('(');
    const std::size_t close = text.rfind(')');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
      return Error{"the options are not in parentheses", ""};
    }
    if (!trimmed(text.substr(close + 1)).empty()) return Error{"text follows the last ')'", ""};
    const Result<void> header = parse_header(text.substr(0, open));
    parsed_.variables = std::move(variable_use_.taken_as_any);
    parsed_.undefined = std::move(variable_use_.undefined);
    if (!header) return header;
    Result<std::vector<Option>> options = split_options(text.substr(open + 1, close - open - 1));
    if (!options) return options.error();
    for (const Option& option : *options) {
      if (auto done = parse_option(option); !done) {
        return Error{fmt::format("{}: {}", option.name, done.error().what), ""};
      }
    }
    if (!has_sid_) return Error{"sid is missing", ""};
    if (!steps_.empty()) {
      parsed_.rule.buffers.push_back({.buffer = Buffer::kPayload, .steps = std::move(steps_)});
    }
    return parsed_.unsupported.empty() ? check_steps() : Result<void>{};
  }

 private:
  Result<void> parse_header(std::string_view text) {
    const std::vector<std::string_view> words = split_header(text);
    if (words.empty()) return Error{"the rule has no action", ""};
    const std::string action = lower(words[0]);
    if (!is_one_of(action, kActions)) {
      return Error{fmt::format("'{}' is no rule action", words[0]), ""};
    }
    if (const auto known = parse_action(action)) {
      parsed_.rule.action = *known;
    } else {
      parsed_.unsupported.insert("action " + action);
    }
    const std::string protocol = words.size() > 1 ? lower(words[1]) : "";
    if (!protocol.empty() && !parse_protocol(protocol, parsed_.rule)) {
      parsed_.unsupported.insert("protocol " + protocol);
    }
    if (!parsed_.unsupported.empty()) return {};  // its header may have another form
    if (words.size() != 7) {
      return Error{"the header is not 'action protocol address port -> address port'", ""};
    }
    if (words[4] != "->" && words[4] != "<>") {
      return Error{fmt::format("'{}' is no direction", words[4]), ""};
    }
    RuleHeader& header = parsed_.rule.header;
    header.bidirectional = words[4] == "<>";
    if (auto done = store(parse_addresses(words[2], variable_use_), header.src); !done) {
      return done;
    }
    if (auto done = store(parse_ports(words[3], variable_use_), header.src_ports); !done) {
      return done;
    }
    if (auto done = store(parse_addresses(words[5], variable_use_), header.dst); !done) {
      return done;
    }
    return store(parse_ports(words[6], variable_use_), header.dst_ports);
  }

  template <typename T, typename Target>
  static Result<void> store(Result<T> value, Target& target) {
    if (!value) return value.error();
    target = std::move(*value);
    return {};
  }
  /// For options that may stand once.
  template <typename T>
  static Result<void> store_once(Result<T> value, std::optional<T>& target) {
    if (target) return Error{"stands twice", ""};
    return store(std::move(value), target);
  }

  /// The place that knows which options there are.
  Result<void> parse_option(const Option& option) {
    Rule& rule = parsed_.rule;
    PacketTests& tests = rule.tests;
    std::set<std::string>& unsupported = parsed_.unsupported;
    const std::string_view name = option.name;
    const std::string_view value = option.value;
    if (name == "content") return parse_content_option(option);
    if (is_content_modifier(name)) return parse_modifier(option);
    if (name == "pcre") return add_step(parse_pcre(value, unsupported));
    if (name == "byte_test") return add_step(parse_byte_test(value, unsupported));
    if (name == "byte_jump") return add_step(parse_byte_jump(value, unsupported));
    if (name == "isdataat") return add_step(parse_isdataat(value, unsupported));
    if (name == "pkt_data") return {};  // the buffer that steps are tried on anyway
    if (name == "dsize") return store_once(parse_number_test(value, 65535), tests.dsize);
    if (name == "ttl") return store_once(parse_number_test(value, 255, true), tests.ttl);
    if (name == "itype") return store_once(parse_number_test(value, 255), tests.itype);
    if (name == "icode") return store_once(parse_number_test(value, 255), tests.icode);
    if (name == "flags") return store_once(parse_tcp_flags(value), tests.flags);
    if (name == "flow") return store_once(parse_flow(value, unsupported), tests.flow);
    if (name == "ip_proto") return parse_ip_proto_option(value);
    if (name == "threshold" || name == "detection_filter") {
      return store_once(parse_threshold(value, name != "threshold", unsupported), rule.threshold);
    }
    if (name == "msg") return store(parse_quoted_text(value), rule.msg);
    if (name == "classtype") return store(Result<std::string>(std::string(value)), rule.classtype);
    if (name == "priority") return parse_number(option, 1, 255, rule.priority, has_priority_);
    if (name == "sid") return parse_number(option, 1, UINT32_MAX, rule.sid, has_sid_);
    if (name == "rev") return parse_number(option, 0, UINT32_MAX, rule.rev, has_rev_);
    if (name == "gid") return parse_number(option, 0, UINT32_MAX, rule.gid, has_gid_);
    if (!is_one_of(name, kInformational)) unsupported.insert(option.name);
    return {};
  }

  template <typename Step>
  Result<void> add_step(Result<Step> step) {
    if (!step) return step.error();
    steps_.emplace_back(std::move(*step));
    return {};
  }

  Result<void> parse_content_option(const Option& option) {
    Result<ContentValue> value = parse_content(option.value);
    if (!value) return value.error();
    Content& content = std::get<Content>(steps_.emplace_back(Content{}));
    content.bytes = std::move(value->bytes);
    content.negated = value->negated;
    for (const auto& [name, argument] : value->modifiers) {
      if (!is_content_modifier(name)) {
        parsed_.unsupported.insert("content," + name);
        continue;
      }
      const auto done =
          apply_content_modifier(name, argument, !argument.empty(), content, parsed_.unsupported);
      if (!done) return Error{fmt::format("{}: {}", name, done.error().what), ""};
    }
    return {};
  }

  /// A modifier is for the last content, whatever stands between.
  Result<void> parse_modifier(const Option& option) {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
      if (auto* const content = std::get_if<Content>(&*step)) {
        return apply_content_modifier(option.name, option.value, option.has_value, *content,
                                      parsed_.unsupported);
      }
    }
    // The content before it may be one of an option that is not supported.
    if (parsed_.unsupported.empty()) return Error{"no content comes before it", ""};
    return {};
  }

  Result<void> parse_ip_proto_option(std::string_view value) {
    const Result<NumberTest> test = parse_ip_proto(value);
    if (!test) return test.error();
    parsed_.rule.tests.ip_protocols.push_back(*test);
    return {};
  }

  static Result<void> parse_number(const Option& option, std::int64_t least, std::int64_t most,
                                   std::uint32_t& target, bool& seen) {
    if (seen) return Error{"stands twice", ""};
    const auto value = option.value.starts_with("0x") || option.value.starts_with('+')
                           ? std::nullopt
                           : parse_integer(option.value, least, most);
    if (!value) {
      return Error{fmt::format("'{}' is no number from {} to {}", option.value, least, most), ""};
    }
    target = static_cast<std::uint32_t>(*value);
    seen = true;
    return {};
  }

  /// What can be said only once all options are known.
  Result<void> check_steps() {
    for (BufferSteps& buffer : parsed_.rule.buffers) {
      const Content* before = nullptr;
      bool has_fast = false;
      for (PayloadStep& step : buffer.steps) {
        auto* const content = std::get_if<Content>(&step);
        if (content == nullptr) continue;
        if (auto done = check_content(*content); !done) {
          return Error{"content: " + done.error().what, ""};
        }
        if (content->is_relative() && before != nullptr && before->fast_only) {
          return Error{"content: nothing can be relative to a content with fast_pattern:only", ""};
        }
        if (content->fast_pattern && std::exchange(has_fast, true)) {
          return Error{"fast_pattern: stands at two contents", ""};
        }
        if (content->starts_with) {
          content->has_offset = true;
          content->depth = static_cast<std::uint32_t>(content->bytes.size());
        }
        before = content;
      }
    }
    return {};
  }

  ParsedRule& parsed_;
  VariableUse variable_use_;
  std::vector<PayloadStep> steps_;
  bool has_sid_ = false;
  bool has_rev_ = false;
  bool has_gid_ = false;
  bool has_priority_ = false;
};

}  // namespace

ParsedRule parse_rule(std::string_view text, const Variables* variables) {
  ParsedRule parsed;
  const Result<void> done = RuleParser(parsed, variables).parse(trimmed(text));
  if (!done) {
    parsed.why = done.error().what;
    parsed.kind = ParsedRule::Kind::kMalformed;
  } else {
    parsed.kind =
        parsed.unsupported.empty() ? ParsedRule::Kind::kRule : ParsedRule::Kind::kUnsupported;
  }
  return parsed;
}

bool begins_like_rule(std::string_view text) {
  const std::vector<std::string_view> words = split_header(text);
  return !words.empty() && is_one_of(lower(words[0]), kActions) &&
         text.find('(') != std::string_view::npos;
}

}  // namespace hb::nids
