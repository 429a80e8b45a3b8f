#include "nfs/ipsec/xfrm_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "nfs/ipsec/sa_file.h"

namespace hb::ipsec {
namespace {

constexpr std::uint64_t kMax32 = 0xffffffff;
constexpr const char* kSupported =
    "use 'rfc4106(gcm(aes))' with 128-bit ICV, or 'cbc(aes)' with 'hmac(sha1)' (96 bits) or "
    "'hmac(sha256)' (128 bits); AES keys have 128 or 256 bits";

/// An algorithm's name without the backslashes that a shell needs before brackets.
std::string algorithm_name(std::string_view word) {
  std::string name(word);
  std::erase_if(name, [](char c) { return c == '\\' || c == '"' || c == '\''; });
  return name;
}

class StateParser {
 public:
  StateParser(const std::string& file, const Statement& statement, SaConfig& sa,
              std::vector<std::string>& warnings)
      : reader_(file, statement.words), sa_(sa), warnings_(warnings) {}

  Result<void> run() {
    sa_.line = reader_.done() ? 0 : statement_line();
    while (!reader_.done()) read_word();
    if (!reader_.failed()) check();
    if (reader_.failed()) return reader_.error();
    return {};
  }

 private:
  std::uint32_t statement_line() const { return reader_.line(); }

  void read_word() {
    const std::string_view word = reader_.next();
    if (word == "src") {
      sa_.src = reader_.address();
    } else if (word == "dst") {
      sa_.dst = reader_.address();
    } else if (word == "proto") {
      const std::string_view name = reader_.next();
      if (name != "esp" && name != "50")
        reader_.fail(fmt::format("proto {} is not supported", shown(name)), "use proto esp");
    } else if (word == "spi") {
      sa_.spi = static_cast<std::uint32_t>(reader_.number("spi", kMax32));
    } else if (word == "reqid") {
      sa_.reqid = static_cast<std::uint32_t>(reader_.number("reqid", kMax32));
      reader_.skip_notes();
    } else if (word == "mode") {
      const std::string_view name = reader_.next();
      if (name != "tunnel" && name != "1")
        reader_.fail(fmt::format("mode {} is not supported", shown(name)), "use mode tunnel");
      has_mode_ = true;
    } else if (word == "replay-window") {
      sa_.replay_window = static_cast<std::uint32_t>(reader_.number(word, kMaxWindow));
    } else if (!read_algorithm(word) && !read_counters(word) && !read_lifetime(word)) {
      read_rest(word);
    }
  }

  bool read_algorithm(std::string_view word) {
    if (word == "aead") {
      const std::string name = algorithm_name(reader_.next());
      if (name != "rfc4106(gcm(aes))") return unsupported(name);
      std::array<std::uint8_t, 36> key;
      const std::uint32_t n = reader_.key(key.data(), key.size());
      reader_.skip_notes();
      const std::uint64_t icv_bits = reader_.number("the ICV length", 1024);
      if (!reader_.failed() && n != 20 && n != 36)
        reader_.fail(fmt::format("the GCM key has {} bytes", n),
                     "give 20 or 36: AES key and 4 bytes of salt");
      else if (!reader_.failed() && icv_bits != 128)
        reader_.fail(fmt::format("an ICV of {} bits is not supported with GCM", icv_bits),
                     "use 128");
      if (!reader_.failed()) {
        sa_.cipher_key_bytes = n - 4;
        std::memcpy(sa_.cipher_key.data(), key.data(), n - 4);
        std::memcpy(sa_.salt.data(), key.data() + n - 4, 4);
        has_aead_ = true;
      }
      explicit_bzero(key.data(), key.size());
    } else if (word == "enc") {
      const std::string name = algorithm_name(reader_.next());
      if (name != "cbc(aes)" && name != "aes") return unsupported(name);
      sa_.cipher_key_bytes = reader_.key(sa_.cipher_key.data(), sa_.cipher_key.size());
      reader_.skip_notes();
      if (!reader_.failed() && sa_.cipher_key_bytes != 16 && sa_.cipher_key_bytes != 32)
        reader_.fail(fmt::format("the AES key has {} bytes", sa_.cipher_key_bytes),
                     "give 16 or 32 bytes");
      has_enc_ = true;
    } else if (word == "auth" || word == "auth-trunc") {
      const std::string name = algorithm_name(reader_.next());
      const bool is_sha1 = name == "hmac(sha1)" || name == "sha1";
      if (!is_sha1 && name != "hmac(sha256)" && name != "sha256") return unsupported(name);
      sa_.auth_key_bytes = reader_.key(sa_.auth_key.data(), sa_.auth_key.size());
      reader_.skip_notes();
      if (!reader_.failed() && sa_.auth_key_bytes == 0)
        reader_.fail("the HMAC key is empty", "give 20 bytes for SHA-1, 32 for SHA-256");
      // Without a length Linux cuts both to 96 bits.
      const std::uint64_t bits = word == "auth" ? 96 : reader_.number("the ICV length", 1024);
      if (!reader_.failed() && bits != (is_sha1 ? 96 : 128))
        reader_.fail(
            fmt::format("an ICV of {} bits is not supported with {}", bits, name),
            is_sha1 ? "use auth-trunc with 96 bits" : "use auth-trunc with 128 bits (RFC 4868)");
      sa_.algorithm = is_sha1 ? Algorithm::kAesCbcSha1 : Algorithm::kAesCbcSha256;
      has_auth_ = true;
    } else {
      return false;
    }
    return true;
  }

  bool unsupported(const std::string& name) {
    reader_.fail(fmt::format("the algorithm {} is not supported", shown(name)), kSupported);
    return true;
  }

  bool read_counters(std::string_view word) {
    const auto low = [](std::uint64_t& to, std::uint64_t v) { to = (to & ~kMax32) | v; };
    const auto high = [](std::uint64_t& to, std::uint64_t v) { to = (to & kMax32) | v << 32; };
    if (word == "anti-replay") {
      if (reader_.take("esn")) sa_.flags.esn = true;
      reader_.take("context:");
      std::uint64_t bitmap_words = 0;
      for (bool more = true; more && !reader_.failed();) {
        if (reader_.take("seq")) {
          low(sa_.last_received, reader_.number("seq", kMax32));
        } else if (reader_.take("seq-hi")) {
          high(sa_.last_received, reader_.number("seq-hi", kMax32));
        } else if (reader_.take("oseq")) {
          low(sa_.last_sent, reader_.number("oseq", kMax32));
        } else if (reader_.take("oseq-hi")) {
          high(sa_.last_sent, reader_.number("oseq-hi", kMax32));
        } else if (reader_.take("replay_window")) {
          sa_.replay_window =
              static_cast<std::uint32_t>(reader_.number("replay_window", kMaxWindow));
        } else if (reader_.take("bitmap-length")) {
          bitmap_words = reader_.number("bitmap-length", kMaxWindow / 32);
        } else if (reader_.take("bitmap")) {
          reader_.next();
        } else {
          more = false;
        }
      }
      // Which numbers of the window had come is not taken over: all up to seq count as received.
      for (; bitmap_words != 0 && !reader_.failed(); --bitmap_words) reader_.next();
    } else if (word == "replay-seq") {
      low(sa_.last_received, reader_.number(word, kMax32));
    } else if (word == "replay-seq-hi") {
      high(sa_.last_received, reader_.number(word, kMax32));
    } else if (word == "replay-oseq") {
      low(sa_.last_sent, reader_.number(word, kMax32));
    } else if (word == "replay-oseq-hi") {
      high(sa_.last_sent, reader_.number(word, kMax32));
    } else if (word == "seq") {
      reader_.number(word, kMax32);  // the key daemon's number of its request
    } else {
      return false;
    }
    return true;
  }

  bool read_lifetime(std::string_view word) {
    if (word == "lifetime") {
      if (reader_.take("config:")) return true;
      if (!reader_.take("current:")) reader_.fail("'lifetime' of what?", "use ip's own output");
      // Counts and dates of the past: counting starts anew.
      reader_.skip_line();
      while (!reader_.failed() && !reader_.done() &&
             (reader_.peek().find("(bytes)") != std::string_view::npos || reader_.peek() == "add"))
        next_line();
    } else if (word == "stats:") {
      if (reader_.peek() == "replay-window") next_line();
    } else if (word == "limit:") {
      read_limit_line();
    } else if (word == "expire") {
      const bool is_use = reader_.take("use:");
      if (!is_use && !reader_.take("add:")) reader_.fail("'expire' of what?", "use add: or use:");
      if (reader_.take("soft"))
        (is_use ? sa_.limits.soft_use_seconds : sa_.limits.soft_seconds) = seconds();
      if (reader_.take("hard"))
        (is_use ? sa_.limits.hard_use_seconds : sa_.limits.hard_seconds) = seconds();
    } else if (word == "limit") {
      read_limit();
    } else {
      return false;
    }
    return true;
  }

  std::uint64_t seconds() {
    const std::uint64_t n = reader_.number("seconds", kMax32);
    return n == kNoLimit ? 0 : n;
  }

  void next_line() {
    reader_.next();
    reader_.skip_line();
  }

  /// `limit: soft (INF)(bytes), hard 1000(bytes)`
  void read_limit_line() {
    std::uint64_t soft = kNoLimit;
    std::uint64_t hard = kNoLimit;
    bool bytes = false;
    while (!reader_.failed() && (reader_.peek() == "soft" || reader_.peek() == "hard")) {
      const bool is_soft = reader_.next() == "soft";
      bytes |= reader_.peek().find("(bytes)") != std::string_view::npos;
      (is_soft ? soft : hard) = reader_.number("limit", kNoLimit);
    }
    (bytes ? sa_.limits.soft_bytes : sa_.limits.soft_packets) = soft;
    (bytes ? sa_.limits.hard_bytes : sa_.limits.hard_packets) = hard;
  }

  /// `limit packet-hard 1000`
  void read_limit() {
    const std::string_view what = reader_.next();
    Limits& l = sa_.limits;
    if (what == "byte-soft")
      l.soft_bytes = reader_.number(what, kNoLimit);
    else if (what == "byte-hard")
      l.hard_bytes = reader_.number(what, kNoLimit);
    else if (what == "packet-soft")
      l.soft_packets = reader_.number(what, kNoLimit);
    else if (what == "packet-hard")
      l.hard_packets = reader_.number(what, kNoLimit);
    else if (what == "time-soft")
      l.soft_seconds = seconds();
    else if (what == "time-hard")
      l.hard_seconds = seconds();
    else if (what == "time-use-soft")
      l.soft_use_seconds = seconds();
    else if (what == "time-use-hard")
      l.hard_use_seconds = seconds();
    else if (!reader_.failed())
      reader_.fail(fmt::format("the limit {} is not known", shown(what)),
                   "use byte-, packet-, time- or time-use- with soft or hard");
  }

  void read_rest(std::string_view word) {
    if (word == "flag" || word == "extra-flag") {
      read_flags();
    } else if (word == "sel") {
      const Selector selector = reader_.selector(warnings_);
      selects_all_ = selector.src.length == 0 && selector.dst.length == 0 &&
                     selector.protocol == 0 && !selector.src_port && !selector.dst_port;
      sa_.selector = selector;
    } else if (word == "mark" || word == "output-mark") {
      warnings_.push_back(fmt::format("{}: '{}' is ignored", reader_.here(), word));
      reader_.next();
      if (reader_.take("mask")) reader_.next();
    } else if (word == "if_id") {
      warnings_.push_back(reader_.here() + ": 'if_id' is ignored");
      reader_.next();
    } else if (word == "dir" || word == "pcpu-num") {
      reader_.next();  // policies say which way an SA is used
    } else if (word == "lastused" || word == "crypto") {
      reader_.skip_line();
    } else if (word == "offload") {  // [packet] dev NAME dir in|out: this NF is not a device
      reader_.take("packet");
      reader_.take("crypto");
      for (const std::string_view name : {"dev", "dir"})
        if (reader_.take(name)) reader_.next();
    } else if (!reader_.failed()) {
      const bool known = word == "encap" || word == "comp" || word == "coa" || word == "ctx" ||
                         word == "security" || word == "tfcpad";
      reader_.fail(known ? fmt::format("'{}' is not supported", word)
                         : fmt::format("{} is not known in an SA", shown(word)),
                   known ? "remove it: plain ESP in tunnel mode is what there is"
                         : "use the words of 'ip xfrm state'");
    }
  }

  void read_flags() {
    for (; !reader_.done(); reader_.next()) {
      const std::string_view flag = reader_.peek();
      if (flag == "esn")
        sa_.flags.esn = true;
      else if (flag == "noecn")
        sa_.flags.noecn = true;
      else if (flag == "nopmtudisc")
        sa_.flags.nopmtudisc = true;
      else if (flag == "decap-dscp")
        sa_.flags.decap_dscp = true;
      else if (flag == "dont-encap-dscp")
        sa_.flags.zero_dscp = true;
      else if (flag == "af-unspec")
        any_family_ = true;
      // Of AH, of transport mode, of errors' handling: nothing that happens here.
      else if (flag != "wildrecv" && flag != "icmp" && flag != "align4" && flag != "oseq-may-wrap")
        break;
      if (flag == "oseq-may-wrap") {
        reader_.fail("'oseq-may-wrap' is not supported",
                     "remove it: a sequence number is never used twice");
        return;
      }
    }
    reader_.skip_notes();
  }

  void check() {
    const auto missing = [&](bool is_missing, std::string_view what, const char* fix) {
      if (is_missing) reader_.fail(fmt::format("the SA has no {}", what), fix);
    };
    missing(sa_.src.version == 0 || sa_.dst.version == 0, "src or dst", "give both addresses");
    missing(sa_.src.is_any() || sa_.dst.is_any(), "src or dst",
            "give the tunnel's two addresses, not 0.0.0.0 or ::");
    missing(sa_.spi == 0, "spi", "give one of 256 or more, as the other side has it");
    missing(!has_mode_, "mode", "add 'mode tunnel'");
    missing(!has_aead_ && !has_enc_, "cipher", kSupported);
    missing(has_enc_ && !has_auth_, "auth beside enc", kSupported);
    if (reader_.failed()) return;
    // RFC 4303 section 2.1 reserves them, and kernels take them.
    if (sa_.spi < 256)
      warnings_.push_back(
          fmt::format("{}: SPI {} is one of those that IANA reserves", reader_.here(), sa_.spi));
    if (has_aead_ && (has_enc_ || has_auth_))
      reader_.fail("the SA has aead beside enc or auth", "keep one of them");
    if (sa_.src.version != sa_.dst.version)
      reader_.fail("src and dst are of different IP versions", "use one version for both");
    if (sa_.flags.esn && sa_.replay_window == 0)
      reader_.fail("'flag esn' needs a replay window",
                   "add replay-window: the high half of a number is told by its place in it");
    if (!sa_.flags.esn && (sa_.last_sent > kMax32 || sa_.last_received > kMax32))
      reader_.fail("a sequence number has a high half", "add 'flag esn'");
    if (has_aead_) sa_.algorithm = Algorithm::kAesGcm;
    // A selector that leaves all open selects by IP version alone, and af-unspec opens that too.
    if (selects_all_ && any_family_) sa_.selector.reset();
  }

  WordReader reader_;
  SaConfig& sa_;
  std::vector<std::string>& warnings_;
  bool has_mode_ = false, has_aead_ = false, has_enc_ = false, has_auth_ = false;
  bool any_family_ = false, selects_all_ = false;
};

}  // namespace

Result<void> parse_state(const std::string& file, const Statement& statement, SaConfig& sa,
                         std::vector<std::string>& warnings) {
  return StateParser(file, statement, sa, warnings).run();
}

}  // namespace hb::ipsec
