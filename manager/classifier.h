// Packet types: their names, and which one a received packet has (flows.csv by rte_acl).
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "manager/flow_config.h"
#include "manager/route_config.h"
#include "nf_lib/decode.h"
#include "nf_lib/limits.h"
#include "nf_lib/result.h"

struct rte_acl_ctx;

namespace hb {

/// A packet of this type matched no rule of flows.csv.
inline constexpr std::uint8_t kDefaultType = 0;

/// Type names and their ids, 0..size()-1. Ids are never given to another name, so that they stay
/// true across reloads. Not thread-safe: the control thread's.
class TypeNames {
 public:
  TypeNames() : names_{"default"} {}

  /// Id of the name, a new one if needed.
  /// @return an error when all kMaxTypes ids are taken; the name is then not added
  Result<std::uint8_t> intern(const std::string& name);
  /// Interns all types of flows.csv and routes.csv; either may be null.
  Result<void> intern_all(const FlowConfig* flows, const RouteConfig* routes);
  /// Id of a name that was interned.
  [[nodiscard]] std::optional<std::uint8_t> find(const std::string& name) const;
  /// Name of an id; "?" for one that was never given.
  [[nodiscard]] const std::string& name(std::uint8_t id) const;
  [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }

 private:
  std::vector<std::string> names_;
};

/// Decodes the packets of a burst; of several segments the first.
/// @param packets  same length; every entry is written
void decode_burst(std::span<rte_mbuf* const> burst, DecodedPacket* packets) noexcept;

/// The compiled rules of one flows.csv. Between two calls of compile() any number of threads may
/// classify.
class Classifier {
 public:
  /// Makes one without rules: every packet is of kDefaultType. Needs EAL, and takes memory of EAL's
  /// heap besides that of the socket.
  /// @param socket_id  NUMA node, or a heap's socket, of its rules and tables; or SOCKET_ID_ANY
  /// @param max_rules  rules that it can ever have
  static Result<std::unique_ptr<Classifier>> create(int socket_id, std::uint32_t max_rules);

  /// create() and compile() with room for just these rules. Adds their types to `names`.
  static Result<std::unique_ptr<Classifier>> build(const FlowConfig& config, TypeNames& names,
                                                   int socket_id);

  /// Replaces the rules; no thread may be classifying. Takes memory of the socket only.
  /// @param names  knows the types of all rules
  /// @return an error for too many rules, or when rte_acl runs out of memory: then this must not
  ///         be used before another compile() has succeeded
  Result<void> compile(const FlowConfig& config, const TypeNames& names);

  ~Classifier();
  Classifier(const Classifier&) = delete;
  Classifier& operator=(const Classifier&) = delete;

  /// Finds the type of each packet: the first rule that matches, else kDefaultType. Only an all-`*`
  /// rule matches packets that are not IP or whose IP header is malformed. Of a packet in several
  /// segments, the first is looked at.
  /// @param burst  1..kMaxBurst mbufs, still owned by the caller
  /// @param types  same length; every entry is written
  void classify_burst(std::span<rte_mbuf* const> burst,
                      std::span<std::uint8_t> types) const noexcept;

  /// The same, and each packet's flow_hash(), decoding each packet once.
  void classify_burst(std::span<rte_mbuf* const> burst, std::span<std::uint8_t> types,
                      std::span<std::uint32_t> flow_hashes) const noexcept;

  /// The same, for packets that are decoded already.
  void classify_decoded(std::span<const DecodedPacket> packets,
                        std::span<std::uint8_t> types) const noexcept;

 private:
  Classifier() = default;

  rte_acl_ctx* ipv4_ = nullptr;
  rte_acl_ctx* ipv6_ = nullptr;
  std::uint32_t max_rules_ = 0;
  bool has_ipv4_ = false;  ///< a rule applies to IPv4
  bool has_ipv6_ = false;
  std::uint8_t other_type_ = kDefaultType;  ///< of all packets that are not well-formed IP
};

}  // namespace hb
