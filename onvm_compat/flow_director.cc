#include "onvm_compat/flow_director.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <rte_malloc.h>
#include <rte_pause.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "nf_lib/control_socket.h"
#include "onvm_compat/include/onvm_sc_mgr.h"
#include "onvm_compat/plain_key.h"

struct onvm_ft* sdn_ft = nullptr;
struct onvm_ft** sdn_ft_p = &sdn_ft;

namespace hb::onvm {

/// What is shared of one flow. Odd sequence: somebody is writing it, or has died doing so; then the
/// slot is lost, and its flow with it.
struct SharedFlow {
  std::atomic<std::uint32_t> sequence;
  std::atomic<std::uint32_t> used;
  std::atomic<std::uint32_t> words[9];  ///< FlowValue, word by word
};

/// The file's layout. All bytes in it may be any other process': they are checked before use.
struct SharedFlows {
  std::atomic<std::uint64_t> magic;
  std::atomic<std::uint32_t> generation;  ///< counts changes; 0: there never was a flow
  std::uint32_t reserved;
  SharedFlow flows[SDN_FT_ENTRIES];
};

namespace {

constexpr std::uint64_t kMagic = 0x3157'4f4c'464d'564e;  // "NVMFLOW1"

struct FlowValue {
  PlainKey key;
  std::uint8_t chain_length;
  std::uint8_t actions[ONVM_MAX_CHAIN_LENGTH];
  std::uint8_t pad[3];
  std::uint16_t destinations[ONVM_MAX_CHAIN_LENGTH];
};
static_assert(sizeof(FlowValue) <= sizeof(SharedFlow::words) && sizeof(FlowValue) % 4 == 0);
constexpr std::size_t kWords = sizeof(FlowValue) / 4;

/// @return false if the slot is being written
bool read_flow(const SharedFlow& flow, FlowValue& value, bool& used) noexcept {
  // Acquire: pairs with the release store in write_flow(); the second load after a fence, so that
  // all words are of one writing.
  const std::uint32_t before = flow.sequence.load(std::memory_order_acquire);
  if (before % 2 != 0) return false;
  std::uint32_t words[kWords];
  for (std::size_t i = 0; i < kWords; ++i) words[i] = flow.words[i].load(std::memory_order_relaxed);
  used = flow.used.load(std::memory_order_relaxed) == 1;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (flow.sequence.load(std::memory_order_relaxed) != before) return false;
  std::memcpy(&value, words, sizeof(value));
  return value.chain_length < ONVM_MAX_CHAIN_LENGTH;
}

/// @return false if somebody else writes it
bool write_flow(SharedFlow& flow, const FlowValue* value) noexcept {
  std::uint32_t before = flow.sequence.load(std::memory_order_relaxed);
  // Acquire: pairs with the last writer's release.
  if (before % 2 != 0 ||
      !flow.sequence.compare_exchange_strong(before, before + 1, std::memory_order_acquire))
    return false;
  std::atomic_thread_fence(std::memory_order_release);
  if (value != nullptr) {
    std::uint32_t words[kWords];
    std::memcpy(words, value, sizeof(*value));
    for (std::size_t i = 0; i < kWords; ++i)
      flow.words[i].store(words[i], std::memory_order_relaxed);
  }
  flow.used.store(value != nullptr ? 1 : 0, std::memory_order_relaxed);
  flow.sequence.store(before + 2, std::memory_order_release);
  return true;
}

}  // namespace

FlowDirector& FlowDirector::get() {
  static FlowDirector director;
  return director;
}

Result<void> FlowDirector::open(const std::string& prefix) {
  const std::string path = runtime_directory(prefix) + "/onvm-flows";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  // A new file is all zero, which is what an empty director looks like: no one has to be first.
  if (fd < 0 || ftruncate(fd, sizeof(SharedFlows)) != 0)
    return Error{fmt::format("'{}' can't be made: {}", path, std::strerror(errno)),
                 "run this as the user who started the manager"};
  void* const memory =
      mmap(nullptr, sizeof(SharedFlows), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED)
    return Error{fmt::format("'{}' can't be mapped: {}", path, std::strerror(errno)), ""};
  shared_ = static_cast<SharedFlows*>(memory);
  std::uint64_t magic = 0;
  if (!shared_->magic.compare_exchange_strong(magic, kMagic) && magic != kMagic)
    return Error{fmt::format("'{}' is of another version", path), "restart the manager"};
  return {};
}

int FlowDirector::make_table() {
  if (table_ != nullptr) return 0;
  table_ = onvm_ft_create(SDN_FT_ENTRIES, sizeof(onvm_flow_entry));
  if (table_ == nullptr) return -1;
  touched_.resize(SDN_FT_ENTRIES);
  touched_list_.reserve(SDN_FT_ENTRIES);
  return 0;
}

bool FlowDirector::active() const noexcept {
  return shared_ != nullptr &&
         (sdn_ft != nullptr || shared_->generation.load(std::memory_order_acquire) != 0);
}

/// Brings the own table up to date with what others have published.
void FlowDirector::take_over() noexcept {
  const std::uint32_t generation = shared_->generation.load(std::memory_order_acquire);
  if (generation == seen_generation_ || make_table() != 0) return;
  seen_generation_ = generation;
  for (SharedFlow& flow : shared_->flows) {
    FlowValue value;
    bool used = false;
    if (!read_flow(flow, value, used) || !used) continue;
    onvm_ft_ipv4_5tuple key;
    std::memcpy(&key, &value.key, sizeof(key));
    char* data = nullptr;
    std::int32_t index = onvm_ft_lookup_key(table_, &key, &data);
    if (index >= 0 && touched_[static_cast<std::size_t>(index)]) continue;  // this NF's own word
    if (index < 0) {
      index = onvm_ft_add_key(table_, &key, &data);
      if (index < 0) continue;
      std::memset(data, 0, sizeof(onvm_flow_entry));
    }
    auto* const entry = reinterpret_cast<onvm_flow_entry*>(data);
    if (entry->sc == nullptr) entry->sc = onvm_sc_create();
    if (entry->key == nullptr)
      entry->key = static_cast<onvm_ft_ipv4_5tuple*>(rte_malloc(nullptr, sizeof(key), 0));
    if (entry->sc == nullptr || entry->key == nullptr) continue;
    std::memcpy(entry->key, &key, sizeof(key));
    entry->sc->chain_length = value.chain_length;
    for (int i = 0; i < ONVM_MAX_CHAIN_LENGTH; ++i)
      entry->sc->sc[i] = {value.destinations[i], value.actions[i]};
  }
}

void FlowDirector::publish() noexcept {
  if (shared_ == nullptr || table_ == nullptr || touched_list_.empty()) return;
  rte_spinlock_lock(&lock_);
  for (const std::int32_t index : touched_list_) {
    export_entry(index);
    touched_[static_cast<std::size_t>(index)] = false;
  }
  touched_list_.clear();
  rte_spinlock_unlock(&lock_);
}

/// Writes an entry's chain to the flow's slot, or to a free one, if it is not there already.
void FlowDirector::export_entry(std::int32_t index) noexcept {
  void* key = nullptr;
  if (rte_hash_get_key_with_position(table_->hash, index, &key) != 0) return;  // removed
  const auto* const entry =
      reinterpret_cast<const onvm_flow_entry*>(onvm_ft_get_data(table_, index));
  if (entry->sc == nullptr) return;
  FlowValue value{};
  value.key = plain_key(*static_cast<const onvm_ft_ipv4_5tuple*>(key));
  value.chain_length = std::min<std::uint8_t>(entry->sc->chain_length, ONVM_MAX_CHAIN_LENGTH - 1);
  for (int i = 0; i < ONVM_MAX_CHAIN_LENGTH; ++i) {
    value.actions[i] = entry->sc->sc[i].action;
    value.destinations[i] = entry->sc->sc[i].destination;
  }
  SharedFlow* place = nullptr;
  for (SharedFlow& flow : shared_->flows) {
    FlowValue there;
    bool used = false;
    if (!read_flow(flow, there, used)) continue;
    if (used && there.key == value.key) {
      if (std::memcmp(&there, &value, sizeof(value)) == 0) return;
      place = &flow;
      break;
    }
    if (!used && place == nullptr) place = &flow;
  }
  if (place != nullptr && write_flow(*place, &value))
    shared_->generation.fetch_add(1, std::memory_order_release);
}

void FlowDirector::retract(const onvm_ft_ipv4_5tuple& key) noexcept {
  for (SharedFlow& flow : shared_->flows) {
    FlowValue there;
    bool used = false;
    if (!read_flow(flow, there, used) || !used || there.key != plain_key(key)) continue;
    if (write_flow(flow, nullptr)) shared_->generation.fetch_add(1, std::memory_order_release);
    return;
  }
}

void FlowDirector::remember(std::int32_t index) noexcept {
  rte_spinlock_lock(&lock_);
  if (!touched_[static_cast<std::size_t>(index)]) {
    touched_[static_cast<std::size_t>(index)] = true;
    touched_list_.push_back(index);
  }
  rte_spinlock_unlock(&lock_);
}

int FlowDirector::find(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept {
  if (shared_ == nullptr) return -ENOENT;
  take_over();
  if (table_ == nullptr) return -ENOENT;
  char* data = nullptr;
  const int index = onvm_ft_lookup_key(table_, key, &data);
  if (index < 0) return index;
  *entry = reinterpret_cast<onvm_flow_entry*>(data);
  return index;
}

int FlowDirector::add(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept {
  if (shared_ == nullptr || make_table() != 0) return -EINVAL;
  char* data = nullptr;
  const int index = onvm_ft_add_key(table_, key, &data);
  if (index < 0) return index;
  std::memset(data, 0, sizeof(onvm_flow_entry));
  *entry = reinterpret_cast<onvm_flow_entry*>(data);
  remember(index);
  return index;
}

int FlowDirector::remove(onvm_ft_ipv4_5tuple* key) noexcept {
  if (shared_ == nullptr || table_ == nullptr) return -ENOENT;
  const int index = onvm_ft_remove_key(table_, key);
  if (index >= 0) retract(*key);
  return index;
}

bool FlowDirector::enter_chain(rte_mbuf* mbuf, std::uint16_t own, onvm_pkt_meta& meta) noexcept {
  if (!active()) return false;
  onvm_ft_ipv4_5tuple key;
  onvm_flow_entry* entry = nullptr;
  if (onvm_ft_fill_key(&key, mbuf) < 0 || find(&key, &entry) < 0 || entry->sc == nullptr)
    return false;
  if (onvm_next_action(entry->sc, 0) == ONVM_NF_ACTION_DROP) return false;
  const std::uint16_t first = onvm_next_destination(entry->sc, 0);
  meta.chain_index = 1;
  if (first == own && onvm_next_action(entry->sc, 0) == ONVM_NF_ACTION_TONF) return false;
  meta.action = onvm_next_action(entry->sc, 0);
  meta.destination = first;
  return true;
}

bool FlowDirector::next_hop(rte_mbuf* mbuf, onvm_pkt_meta& meta) noexcept {
  if (!active()) return false;
  onvm_ft_ipv4_5tuple key;
  onvm_flow_entry* entry = nullptr;
  if (onvm_ft_fill_key(&key, mbuf) < 0 || find(&key, &entry) < 0 || entry->sc == nullptr)
    return false;
  meta.action = onvm_next_action(entry->sc, meta.chain_index);
  meta.destination = onvm_next_destination(entry->sc, meta.chain_index);
  ++meta.chain_index;
  return true;
}

}  // namespace hb::onvm

// --- the C API
// ---------------------------------------------------------------------------------------

using hb::onvm::FlowDirector;

extern "C" {

int onvm_flow_dir_init(void) { return onvm_flow_dir_nf_init(); }

int onvm_flow_dir_nf_init(void) {
  onvm_flow_entry* none = nullptr;
  onvm_ft_ipv4_5tuple key{};
  if (FlowDirector::get().make_table() != 0) return -1;
  FlowDirector::get().find(&key, &none);  // takes over what others have
  sdn_ft = FlowDirector::get().table();
  return 0;
}

int onvm_flow_dir_get_key(struct onvm_ft_ipv4_5tuple* key, struct onvm_flow_entry** entry) {
  const int index = FlowDirector::get().find(key, entry);
  // The NF may change what it gets.
  if (index >= 0) FlowDirector::get().remember(index);
  return index;
}

int onvm_flow_dir_get_pkt(struct rte_mbuf* pkt, struct onvm_flow_entry** entry) {
  onvm_ft_ipv4_5tuple key;
  if (onvm_ft_fill_key(&key, pkt) < 0) return -EPROTONOSUPPORT;
  return onvm_flow_dir_get_key(&key, entry);
}

int onvm_flow_dir_add_key(struct onvm_ft_ipv4_5tuple* key, struct onvm_flow_entry** entry) {
  return FlowDirector::get().add(key, entry);
}

int onvm_flow_dir_add_pkt(struct rte_mbuf* pkt, struct onvm_flow_entry** entry) {
  onvm_ft_ipv4_5tuple key;
  if (onvm_ft_fill_key(&key, pkt) < 0) return -EPROTONOSUPPORT;
  return FlowDirector::get().add(&key, entry);
}

int onvm_flow_dir_del_key(struct onvm_ft_ipv4_5tuple* key) {
  return FlowDirector::get().remove(key);
}

int onvm_flow_dir_del_pkt(struct rte_mbuf* pkt) {
  onvm_ft_ipv4_5tuple key;
  if (onvm_ft_fill_key(&key, pkt) < 0) return -EPROTONOSUPPORT;
  return FlowDirector::get().remove(&key);
}

int onvm_flow_dir_del_and_free_key(struct onvm_ft_ipv4_5tuple* key) {
  onvm_flow_entry* entry = nullptr;
  const int found = FlowDirector::get().find(key, &entry);
  if (found < 0) return found;
  onvm_service_chain* const chain = entry->sc;
  onvm_ft_ipv4_5tuple* const own_key = entry->key;
  entry->sc = nullptr;
  entry->key = nullptr;
  const int index = FlowDirector::get().remove(key);
  if (chain != nullptr && --chain->ref_cnt <= 0) rte_free(chain);
  if (own_key != key) rte_free(own_key);
  return index;
}

int onvm_flow_dir_del_and_free_pkt(struct rte_mbuf* pkt) {
  onvm_ft_ipv4_5tuple key;
  if (onvm_ft_fill_key(&key, pkt) < 0) return -EPROTONOSUPPORT;
  return onvm_flow_dir_del_and_free_key(&key);
}

}  // extern "C"
