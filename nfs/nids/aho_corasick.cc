#include "nfs/nids/aho_corasick.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>

#include "kernels/nids_table.h"
#include "nfs/nids/rule.h"

namespace hb::nids {
namespace {

/// Entries of the automaton under construction; all others are row numbers.
constexpr std::uint32_t kFound = 0xffffffff;
constexpr std::uint32_t kMissing = 0xfffffffe;
constexpr std::uint64_t kMaxEntries = 0xffffff00;
constexpr std::uint32_t kMostNarrowStates = 1u << 16;
/// Of kMaxColumns, those that several bytes share.
constexpr std::uint32_t kSharedColumns = 8;

std::uint8_t byte_of(char c) noexcept { return static_cast<std::uint8_t>(to_lower_ascii(c)); }

/// Aho and Corasick's algorithms 2 to 4 over columns of equivalent bytes.
class AutomatonBuilder {
 public:
  explicit AutomatonBuilder(std::vector<std::string_view> patterns)
      : patterns_(std::move(patterns)) {
    // Short ones first: a longer one that runs through a found state needs no rows of its own.
    std::stable_sort(patterns_.begin(), patterns_.end(),
                     [](auto a, auto b) { return a.size() < b.size(); });
    assign_columns();
    add_row();
  }

  Result<std::vector<std::byte>> build(const NidsMarks& marks) {
    for (const std::string_view pattern : patterns_) {
      if (rows_.size() + pattern.size() * n_columns_ > kMaxEntries) {
        return Error{fmt::format("the automaton of {} contents is too large", patterns_.size()),
                     "load fewer rules"};
      }
      insert(pattern);
    }
    complete();
    return emit(marks);
  }

 private:
  /// Column 0 is for bytes that no pattern holds. The more often a byte stands in patterns, the
  /// more it says, and the sooner it has a column of its own.
  void assign_columns() {
    std::array<std::size_t, 256> n_used{};
    std::size_t most_rows = 1;
    for (const std::string_view pattern : patterns_) {
      for (const char c : pattern) ++n_used[byte_of(c)];
      most_rows += pattern.size();
    }
    std::vector<std::uint8_t> bytes;  // with all 230 in use (26 letters are folded) 8 bits suffice
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if (n_used[byte] != 0) bytes.push_back(static_cast<std::uint8_t>(byte));
    }
    std::uint32_t n_own = static_cast<std::uint32_t>(bytes.size());
    n_columns_ = n_own + 1;
    if (n_columns_ > kMaxColumns && most_rows * n_columns_ * 4 > kMaxExactTableBytes) {
      std::stable_sort(bytes.begin(), bytes.end(),
                       [&](auto a, auto b) { return n_used[a] > n_used[b]; });
      n_columns_ = kMaxColumns;
      n_own = n_columns_ - 1 - kSharedColumns;
    }
    for (std::uint32_t i = 0; i < bytes.size(); ++i) {
      const std::uint32_t column = i < n_own ? i : n_own + (i - n_own) % kSharedColumns;
      columns_[bytes[i]] = static_cast<std::uint8_t>(column + 1);
    }
    for (char c = 'A'; c <= 'Z'; ++c) columns_[static_cast<std::uint8_t>(c)] = columns_[byte_of(c)];
  }

  std::uint32_t add_row() {
    const auto row = static_cast<std::uint32_t>(rows_.size() / n_columns_);
    rows_.resize(rows_.size() + n_columns_, kMissing);
    return row;
  }
  std::uint32_t& entry(std::uint32_t row, std::uint32_t column) {
    return rows_[std::size_t{row} * n_columns_ + column];
  }

  void insert(std::string_view pattern) {
    std::uint32_t row = 0;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      const std::uint32_t column = columns_[byte_of(pattern[i])];
      std::uint32_t next = entry(row, column);
      if (next == kFound) return;
      if (i + 1 == pattern.size()) {
        entry(row, column) = kFound;
      } else {
        if (next == kMissing) {
          next = add_row();
          entry(row, column) = next;  // not before: add_row moves the rows
        }
        row = next;
      }
    }
  }

  /// Breadth first: every missing entry becomes the one of the longest proper suffix that is a
  /// prefix of some pattern. A state with a found suffix is itself found, and its rows die.
  void complete() {
    std::vector<std::uint32_t> suffix(rows_.size() / n_columns_, 0);
    order_.push_back(0);
    for (std::size_t i = 0; i < order_.size(); ++i) {
      const std::uint32_t row = order_[i];
      for (std::uint32_t column = 0; column < n_columns_; ++column) {
        std::uint32_t& next = entry(row, column);
        if (next == kFound) continue;
        const std::uint32_t fallback = row == 0 ? 0 : entry(suffix[row], column);
        if (next == kMissing || fallback == kFound) {
          next = fallback;
        } else {
          suffix[next] = fallback;
          order_.push_back(next);
        }
      }
    }
  }

  /// Writes the rows that are alive, breadth first: the start's surroundings stay in the cache.
  /// Behind them comes "found".
  std::vector<std::byte> emit(const NidsMarks& marks) {
    const auto found = static_cast<std::uint32_t>(order_.size());
    const std::uint32_t n_states = found + 1;
    const bool wide = n_states > kMostNarrowStates;
    std::vector<std::uint32_t> renumbered(rows_.size() / n_columns_, 0);
    for (std::uint32_t i = 0; i < found; ++i) renumbered[order_[i]] = i;

    HbNidsTable header{};
    header.magic = HB_NIDS_TABLE_MAGIC;
    header.version = HB_NIDS_TABLE_VERSION;
    static_assert(sizeof header % 64 == 0 && sizeof(HbNidsHeaders) % 64 == 0);
    header.transitions_offset = sizeof header;
    if (marks.headers != nullptr) {
      header.headers_offset = sizeof header;
      header.transitions_offset += sizeof(HbNidsHeaders);
    }
    header.flags = (wide ? HB_NIDS_WIDE : 0) | (marks.copy_all ? HB_NIDS_COPY_ALL : 0) |
                   (marks.asks ? HB_NIDS_ASK : 0);
    header.n_columns = n_columns_;
    header.n_states = n_states;
    header.n_patterns = static_cast<std::uint32_t>(patterns_.size());
    const std::size_t entry_bytes = wide ? 4 : 2;
    header.total_bytes =
        header.transitions_offset + std::size_t{n_states} * n_columns_ * entry_bytes;
    std::copy(columns_.begin(), columns_.end(), header.columns);

    std::vector<std::byte> table(header.total_bytes);
    std::memcpy(table.data(), &header, sizeof header);
    if (marks.headers != nullptr) {
      std::memcpy(table.data() + header.headers_offset, marks.headers, sizeof *marks.headers);
    }
    std::byte* out = table.data() + header.transitions_offset;
    const auto put = [&](std::uint32_t row) {
      // The table is little endian, and so are the hosts: a narrow entry is the first half.
      const std::uint32_t v = wide ? row * n_columns_ : row;
      std::memcpy(out, &v, entry_bytes);
      out += entry_bytes;
    };
    for (const std::uint32_t row : order_) {
      for (std::uint32_t column = 0; column < n_columns_; ++column) {
        const std::uint32_t next = entry(row, column);
        put(next == kFound ? found : renumbered[next]);
      }
    }
    for (std::uint32_t column = 0; column < n_columns_; ++column) put(found);
    return table;
  }

  std::vector<std::string_view> patterns_;
  std::array<std::uint8_t, 256> columns_{};
  std::uint32_t n_columns_ = 1;
  std::vector<std::uint32_t> rows_;   // n_columns_ entries each
  std::vector<std::uint32_t> order_;  // the rows that are reached, breadth first
};

void mark_ports(u32 (&bits)[2048], const PortSet& ports) {
  if (ports.is_any()) {
    std::fill(std::begin(bits), std::end(bits), ~0u);
    return;
  }
  for (const auto& interval : ports.intervals()) {
    for (std::uint32_t port = interval.first; port <= interval.last; ++port) {
      bits[port / 32] |= 1u << (port % 32);
    }
  }
}

/// Marks the packets of TCP, UDP or ICMP that the rule, which has no content, may match.
void mark_rule(HbNidsHeaders& marks, const Rule& rule) {
  if (rule.header.protocol == RuleProtocol::kIcmp) {
    marks.protocols |= HB_NIDS_ICMP;
    return;
  }
  const bool is_tcp = rule.header.protocol == RuleProtocol::kTcp;
  marks.protocols |= is_tcp ? HB_NIDS_TCP : HB_NIDS_UDP;
  u32(&source)[2048] = marks.ports[is_tcp ? HB_NIDS_TCP_SOURCE : HB_NIDS_UDP_SOURCE];
  u32(&destination)[2048] = marks.ports[is_tcp ? HB_NIDS_TCP_DESTINATION : HB_NIDS_UDP_DESTINATION];
  mark_ports(source, rule.header.src_ports);
  mark_ports(destination, rule.header.dst_ports);
  if (rule.header.bidirectional) {
    mark_ports(source, rule.header.dst_ports);
    mark_ports(destination, rule.header.src_ports);
  }
  for (std::uint32_t flags = 0; is_tcp && flags < 256; ++flags) {
    if (!rule.tests.flags || rule.tests.flags->matches(static_cast<std::uint8_t>(flags))) {
      marks.tcp_flags[flags / 32] |= 1u << (flags % 32);
    }
  }
}

}  // namespace

Result<std::vector<std::byte>> build_nids_table(std::span<const std::string_view> patterns,
                                                const NidsMarks& marks) {
  std::vector<std::string_view> cut;
  cut.reserve(patterns.size());
  for (const std::string_view pattern : patterns) {
    cut.push_back(pattern.substr(0, kMaxDevicePatternBytes));
  }
  return AutomatonBuilder(std::move(cut)).build(marks);
}

Result<std::vector<std::byte>> build_nids_table(const RuleSet& rules, bool asks) {
  std::vector<std::string_view> patterns;
  NidsMarks marks;
  marks.asks = asks;
  auto headers = std::make_unique<HbNidsHeaders>();
  for (const Rule& rule : rules.rules) {
    if (const auto place = fast_content_place(rule)) {
      patterns.push_back(
          fast_bytes(std::get<Content>(rule.buffers[place->buffer].steps[place->step])));
    } else if (rule.header.protocol == RuleProtocol::kIp) {
      marks.copy_all = true;
    } else {
      mark_rule(*headers, rule);
      marks.headers = headers.get();
    }
  }
  return build_nids_table(patterns, marks);
}

}  // namespace hb::nids
