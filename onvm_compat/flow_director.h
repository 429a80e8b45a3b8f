// The flow director: service chains of single flows, which all OpenNetVM NFs of a platform follow.
// NFs get entries in their own memory, which they change in place; this copies keys and chains, by
// value, to and from a file that those NFs share.
#pragma once

#include <rte_spinlock.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "nf_lib/result.h"
#include "onvm_compat/include/onvm_flow_dir.h"

namespace hb::onvm {

struct SharedFlow;
struct SharedFlows;

/// One for each process. Entries are the NF's to synchronise, as in OpenNetVM; the rest may be
/// called by any thread.
class FlowDirector {
 public:
  static FlowDirector& get();

  /// Maps the platform's file; makes it if this is the first NF.
  Result<void> open(const std::string& prefix);
  /// Makes the table that NFs see (sdn_ft). @return 0 or negative
  int make_table();

  /// As OpenNetVM's RX: a packet whose flow has a chain goes to that chain's first NF.
  /// @param own  the service that the packet has come to
  /// @return true: meta says where the packet goes instead
  bool enter_chain(rte_mbuf* mbuf, std::uint16_t own, onvm_pkt_meta& meta) noexcept;
  /// ONVM_NF_ACTION_NEXT for a packet whose flow has a chain: moves meta on by one.
  /// @return false: it has none
  bool next_hop(rte_mbuf* mbuf, onvm_pkt_meta& meta) noexcept;

  /// @return the entry's index, or negative as onvm_flow_dir_get_key
  int find(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept;
  int add(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept;
  int remove(onvm_ft_ipv4_5tuple* key) noexcept;
  /// The NF has a pointer to the entry and may change it: publish() looks at it.
  void remember(std::int32_t index) noexcept;
  [[nodiscard]] onvm_ft* table() noexcept { return table_; }

  /// Shows the other NFs what this one has changed; takes over what they have. Cheap without news.
  void publish() noexcept;

 private:
  FlowDirector() = default;
  bool active() const noexcept;
  void take_over() noexcept;
  void export_entry(std::int32_t index) noexcept;
  void retract(const onvm_ft_ipv4_5tuple& key) noexcept;

  SharedFlows* shared_ = nullptr;
  onvm_ft* table_ = nullptr;
  std::uint32_t seen_generation_ = 0;
  rte_spinlock_t lock_ = RTE_SPINLOCK_INITIALIZER;
  std::vector<bool> touched_;  ///< by index: the NF has had a pointer to it
  std::vector<std::int32_t> touched_list_;
};

}  // namespace hb::onvm
