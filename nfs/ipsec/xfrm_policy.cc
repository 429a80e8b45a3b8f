// Reading one policy.
#include <fmt/format.h>

#include "nfs/ipsec/xfrm_state.h"

namespace hb::ipsec {
namespace {

constexpr std::uint64_t kMax32 = 0xffffffff;

class PolicyParser {
 public:
  PolicyParser(const std::string& file, const Statement& statement,
               std::vector<std::string>& warnings)
      : reader_(file, statement.words), warnings_(warnings) {}

  Result<PolicyConfig> run() {
    policy_.line = reader_.line();
    policy_.selector = reader_.selector(warnings_);
    while (!reader_.done()) read_word(reader_.next());
    if (!reader_.failed()) check();
    if (reader_.failed()) return reader_.error();
    return policy_;
  }

 private:
  void read_word(std::string_view word) {
    if (word == "dir") {
      const std::string_view name = reader_.next();
      if (name != "in" && name != "out" && name != "fwd")
        reader_.fail(fmt::format("dir {} is not known", shown(name)), "use in, out or fwd");
      policy_.direction = name == "out" ? PolicyDirection::kOut : PolicyDirection::kIn;
      has_direction_ = true;
    } else if (word == "priority") {
      policy_.priority = static_cast<std::uint32_t>(reader_.number(word, kMax32));
    } else if (word == "action") {
      const std::string_view name = reader_.next();
      if (name == "block")
        policy_.action = PolicyAction::kBlock;
      else if (name != "allow")
        reader_.fail(fmt::format("action {} is not known", shown(name)), "use allow or block");
    } else if (word == "tmpl") {
      if (has_template_)
        reader_.fail("the policy has two templates", "keep one: nested SAs are not supported");
      has_template_ = true;
      read_template();
    } else if (word == "flag") {
      while (reader_.take("localok") || reader_.take("icmp")) {
      }
      reader_.skip_notes();
    } else if (word == "index" || word == "ptype" || word == "share") {
      reader_.next();
    } else if (word == "if_id" || word == "mark") {
      warnings_.push_back(fmt::format("{}: '{}' is ignored", reader_.here(), word));
      reader_.next();
      if (reader_.take("mask")) reader_.next();
    } else if (word == "lifetime" || word == "limit:" || word == "expire" || word == "add" ||
               word.find("(bytes)") != std::string_view::npos) {
      reader_.skip_line();  // of policies: nothing counts them here
    } else if (word == "limit") {
      reader_.next();
      reader_.next();
    } else if (!reader_.failed()) {
      reader_.fail(fmt::format("{} is not known in a policy", shown(word)),
                   "use the words of 'ip xfrm policy'");
    }
  }

  void read_template() {
    while (!reader_.done()) {
      if (reader_.take("src")) {
        policy_.tunnel_src = known(reader_.address());
      } else if (reader_.take("dst")) {
        policy_.tunnel_dst = known(reader_.address());
      } else if (reader_.take("proto")) {
        const std::string_view name = reader_.next();
        if (name != "esp" && name != "50")
          reader_.fail(fmt::format("a template of proto {} is not supported", shown(name)),
                       "use proto esp");
      } else if (reader_.take("spi")) {
        policy_.spi = static_cast<std::uint32_t>(reader_.number("spi", kMax32));
      } else if (reader_.take("reqid")) {
        policy_.reqid = static_cast<std::uint32_t>(reader_.number("reqid", kMax32));
        reader_.skip_notes();
      } else if (reader_.take("mode")) {
        const std::string_view name = reader_.next();
        if (name != "tunnel" && name != "1")
          reader_.fail(fmt::format("a template of mode {} is not supported", shown(name)),
                       "use mode tunnel");
        has_mode_ = true;
      } else if (reader_.take("level")) {
        policy_.optional = reader_.next() == "use";
      } else if (reader_.take("share") || reader_.take("enc-mask") || reader_.take("auth-mask") ||
                 reader_.take("comp-mask")) {
        reader_.next();
      } else {
        return;
      }
    }
  }

  static IpAddress known(IpAddress address) { return address.is_any() ? IpAddress{} : address; }

  void check() {
    if (!has_direction_) reader_.fail("the policy has no dir", "add 'dir out' or 'dir in'");
    if (has_template_ && !has_mode_) reader_.fail("the template has no mode", "add 'mode tunnel'");
    if (policy_.action == PolicyAction::kProtect && !has_template_)
      policy_.action = PolicyAction::kBypass;
  }

  WordReader reader_;
  std::vector<std::string>& warnings_;
  PolicyConfig policy_;
  bool has_direction_ = false, has_template_ = false, has_mode_ = false;
};

}  // namespace

Result<PolicyConfig> parse_policy(const std::string& file, const Statement& statement,
                                  std::vector<std::string>& warnings) {
  return PolicyParser(file, statement, warnings).run();
}

}  // namespace hb::ipsec
