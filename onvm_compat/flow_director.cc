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
#include <utility>

#include "nf_lib/clock.h"
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

struct FlowValue {
  PlainKey key;
  ChainValue chain;
};

namespace {

constexpr std::uint64_t kMagic = 0x3157'4f4c'464d'564e;  // "NVMFLOW1"

static_assert(sizeof(FlowValue) <= sizeof(SharedFlow::words) && sizeof(FlowValue) % 4 == 0);
constexpr std::size_t kWords = sizeof(FlowValue) / 4;

/// So often changes are looked for that no call of the NF has announced.
constexpr std::uint64_t kLookPeriodNs = 5'000'000;
constexpr int kWriteTries = 1000;

/// A slot as it was read.
struct Seen {
  FlowValue value;
  std::uint32_t sequence = 0;
  bool used = false;
};

/// @return false if the slot is being written, or holds nonsense
bool read_flow(const SharedFlow& flow, Seen& seen) noexcept {
  // Acquire: pairs with the release store in write_flow(); the second load after a fence, so that
  // all words are of one writing.
  seen.sequence = flow.sequence.load(std::memory_order_acquire);
  if (seen.sequence % 2 != 0) return false;
  std::uint32_t words[kWords];
  for (std::size_t i = 0; i < kWords; ++i) words[i] = flow.words[i].load(std::memory_order_relaxed);
  seen.used = flow.used.load(std::memory_order_relaxed) == 1;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (flow.sequence.load(std::memory_order_relaxed) != seen.sequence) return false;
  std::memcpy(&seen.value, words, sizeof(seen.value));
  std::memset(seen.value.chain.pad, 0, sizeof(seen.value.chain.pad));
  return seen.value.chain.length < ONVM_MAX_CHAIN_LENGTH;
}

/// @param before  the sequence that the slot was read with
/// @param value   nullptr empties the slot
/// @return false if somebody has written it since
bool write_flow(SharedFlow& flow, std::uint32_t before, const FlowValue* value) noexcept {
  // Acquire: pairs with the last writer's release.
  if (!flow.sequence.compare_exchange_strong(before, before + 1, std::memory_order_acquire))
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

ChainValue chain_value(const onvm_service_chain& chain) noexcept {
  ChainValue value{};
  value.length = std::min<std::uint8_t>(chain.chain_length, ONVM_MAX_CHAIN_LENGTH - 1);
  for (int i = 0; i < ONVM_MAX_CHAIN_LENGTH; ++i) {
    value.actions[i] = chain.sc[i].action;
    value.destinations[i] = chain.sc[i].destination;
  }
  return value;
}

}  // namespace

FlowDirector& FlowDirector::get() {
  static FlowDirector* const director = new FlowDirector;  // loops outlive main()
  return *director;
}

FlowDirector::~FlowDirector() {
  if (shared_ != nullptr) munmap(shared_, sizeof(SharedFlows));
  onvm_ft_free(table());
}

Result<void> FlowDirector::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  // A new file is all zero, which is what an empty director looks like: no one has to be first.
  if (fd < 0 || ftruncate(fd, sizeof(SharedFlows)) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return Error{fmt::format("'{}' can't be made: {}", path, std::strerror(error)),
                 "run this as the user who started the manager"};
  }
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

int FlowDirector::make_table() noexcept {
  const Lock lock(lock_);
  if (table() != nullptr) return 0;
  onvm_ft* const made = onvm_ft_create(SDN_FT_ENTRIES, sizeof(onvm_flow_entry));
  if (made == nullptr) return -1;
  // Release: pairs with table(), which other threads read without the lock.
  table_.store(made, std::memory_order_release);
  return 0;
}

bool FlowDirector::active() const noexcept {
  return shared_ != nullptr &&
         (table() != nullptr || shared_->generation.load(std::memory_order_acquire) != 0);
}

onvm_flow_entry* FlowDirector::entry_at(std::int32_t index) noexcept {
  return reinterpret_cast<onvm_flow_entry*>(onvm_ft_get_data(table(), index));
}

// --- from and to the others
// -----------------------------------------------------------------------

/// Brings the own table up to date with what others have published, and withdrawn.
void FlowDirector::take_over() noexcept {
  // Acquire: pairs with the release that follows each change of a slot.
  const std::uint32_t generation = shared_->generation.load(std::memory_order_acquire);
  if (generation == seen_generation_ || make_table() != 0) return;
  seen_generation_ = generation;
  ++pass_;
  for (std::uint32_t slot = 0; slot < SDN_FT_ENTRIES; ++slot) {
    Seen seen;
    if (read_flow(shared_->flows[slot], seen)) {
      if (seen.used) import_flow(slot, seen.value);
      continue;
    }
    // Nobody knows what it holds now: the flow that it had last is not gone.
    const std::int32_t index = index_of_slot_[slot];
    if (known_[index].is_shared && known_[index].slot == slot) known_[index].pass = pass_;
  }
  for (std::int32_t index = 0; index < kPositions; ++index)
    if (known_[index].is_shared && known_[index].pass != pass_) forget(index);
}

void FlowDirector::import_flow(std::uint32_t slot, const FlowValue& value) noexcept {
  onvm_ft_ipv4_5tuple key;
  std::memcpy(&key, &value.key, sizeof(key));
  std::int32_t index = onvm_ft_lookup_key(table(), &key, nullptr);
  const bool is_new = index < 0;
  if (is_new) {
    index = onvm_ft_add_key(table(), &key, nullptr);
    if (index < 0) return;
    reset(index);
    if (!make_entry(index, key)) {
      onvm_ft_remove_key(table(), &key);
      return;
    }
  }
  Known& known = known_[index];
  onvm_service_chain* const chain = entry_at(index)->sc;
  // The NF is just filling it in, or has changed it: its own word, which the others get.
  const bool is_changed =
      !is_new && (!known.is_shared || chain == nullptr || chain_value(*chain) != known.chain);
  if (is_changed) list(index);
  if (is_changed && !known.is_shared) return;
  known.pass = pass_;
  known.slot = static_cast<std::uint16_t>(slot);
  index_of_slot_[slot] = index;
  // Without news nothing is written: another thread may be changing the chain just now.
  if (is_changed || (known.is_shared && known.chain == value.chain)) return;
  known.is_shared = true;
  known.chain = value.chain;
  chain->chain_length = value.chain.length;
  for (int i = 0; i < ONVM_MAX_CHAIN_LENGTH; ++i)
    chain->sc[i] = {value.chain.destinations[i], value.chain.actions[i]};
}

/// An entry of the director's own making, without a chain's entries. @return false: no memory
bool FlowDirector::make_entry(std::int32_t index, const onvm_ft_ipv4_5tuple& key) noexcept {
  Known& known = known_[index];
  if (known.spare_chain == nullptr) known.spare_chain = onvm_sc_create();
  if (known.spare_key == nullptr)
    known.spare_key = static_cast<onvm_ft_ipv4_5tuple*>(rte_malloc(nullptr, sizeof(key), 0));
  if (known.spare_chain == nullptr || known.spare_key == nullptr) return false;
  known.own_chain = std::exchange(known.spare_chain, nullptr);
  known.own_key = std::exchange(known.spare_key, nullptr);
  *known.own_chain = onvm_service_chain{};
  std::memcpy(known.own_key, &key, sizeof(key));
  *entry_at(index) = onvm_flow_entry{};
  entry_at(index)->sc = known.own_chain;
  entry_at(index)->key = known.own_key;
  return true;
}

/// Another process has withdrawn the flow. The entry's bytes stay: the NF may be reading them. What
/// import_flow() made for it is used again for the position's next flow; a chain that the NF made
/// is the NF's.
void FlowDirector::forget(std::int32_t index) noexcept {
  void* key = nullptr;
  if (rte_hash_get_key_with_position(table()->hash, index, &key) == 0) {
    onvm_ft_ipv4_5tuple copy;
    std::memcpy(&copy, key, sizeof(copy));
    onvm_ft_remove_key(table(), &copy);
  }
  reset(index);
}

/// The position's last flow is over, or begins anew.
void FlowDirector::reset(std::int32_t index) noexcept {
  Known& known = known_[index];
  const onvm_flow_entry& entry = *entry_at(index);
  Known next;
  next.is_listed = known.is_listed;  // the list has it still
  next.spare_chain = known.spare_chain;
  next.spare_key = known.spare_key;
  if (known.own_chain != nullptr && known.own_chain == entry.sc) next.spare_chain = known.own_chain;
  if (known.own_key != nullptr && known.own_key == entry.key) next.spare_key = known.own_key;
  known = next;
}

void FlowDirector::list(std::int32_t index) noexcept {
  known_[index].is_given = true;
  if (std::exchange(known_[index].is_listed, true)) return;
  listed_[n_listed_++] = index;
}

void FlowDirector::publish() noexcept {
  if (shared_ == nullptr || table() == nullptr) return;
  const Lock lock(lock_);
  take_over();  // what has been withdrawn is not written again
  std::uint32_t n_left = 0;
  for (std::uint32_t i = 0; i < n_listed_; ++i) {
    const std::int32_t index = listed_[i];
    Known& known = known_[index];
    // One that the NF is filling in stays until it has a chain.
    known.is_listed = known.is_given && !export_entry(index);
    if (known.is_listed) listed_[n_left++] = index;
  }
  n_listed_ = n_left;
  // An NF may go on changing what it was given long after it asked for it.
  const std::uint64_t now = monotonic_ns();
  if (now < next_look_ns_) return;
  next_look_ns_ = now + kLookPeriodNs;
  for (std::int32_t index = 0; index < kPositions; ++index) {
    const Known& known = known_[index];
    if (!known.is_given || known.is_listed) continue;
    const onvm_service_chain* const chain = entry_at(index)->sc;
    if (chain != nullptr && (!known.is_shared || chain_value(*chain) != known.chain))
      export_entry(index);
  }
}

/// Writes an entry's chain to the flow's slot, or to a free one, if it is not there already.
/// @return false: it has no chain yet, or another process was writing there: to be tried again
bool FlowDirector::export_entry(std::int32_t index) noexcept {
  void* key = nullptr;
  if (rte_hash_get_key_with_position(table()->hash, index, &key) != 0) return true;  // removed
  const onvm_flow_entry& entry = *entry_at(index);
  if (entry.sc == nullptr) return false;
  Known& known = known_[index];
  FlowValue value{};
  value.key = plain_key(*static_cast<const onvm_ft_ipv4_5tuple*>(key));
  value.chain = chain_value(*entry.sc);
  if (known.is_shared && known.chain == value.chain) return true;
  std::uint32_t place = SDN_FT_ENTRIES, sequence = 0;
  bool is_there = false, same = false;
  for (std::uint32_t slot = 0; slot < SDN_FT_ENTRIES; ++slot) {
    Seen seen;
    if (!read_flow(shared_->flows[slot], seen)) continue;
    const bool has_key = seen.used && seen.value.key == value.key;
    if (has_key && is_there) {
      // Two processes have added the flow at the same time: one slot is enough.
      write_flow(shared_->flows[slot], seen.sequence, nullptr);
    } else if (has_key || (!seen.used && place == SDN_FT_ENTRIES)) {
      is_there = has_key;
      same = has_key && seen.value.chain == value.chain;
      place = slot;
      sequence = seen.sequence;
    }
  }
  // Withdrawn since, or in a slot that somebody died in; or there is no room: it is looked at again
  // with the others.
  if (place == SDN_FT_ENTRIES || (known.is_shared && !is_there)) return true;
  if (!same) {
    if (!write_flow(shared_->flows[place], sequence, &value)) return false;
    // Release: pairs with take_over(): who sees the count sees the slot.
    shared_->generation.fetch_add(1, std::memory_order_release);
  }
  known.is_shared = true;
  known.pass = pass_;
  known.slot = static_cast<std::uint16_t>(place);
  known.chain = value.chain;
  index_of_slot_[place] = index;
  return true;
}

void FlowDirector::retract(const onvm_ft_ipv4_5tuple& key) noexcept {
  const PlainKey plain = plain_key(key);
  for (SharedFlow& flow : shared_->flows) {
    // Somebody else may be writing it, for as short a time; or is dead, and the slot with it.
    for (int tries = 0; tries < kWriteTries; ++tries) {
      Seen seen;
      if (!read_flow(flow, seen)) {
        rte_pause();
        continue;
      }
      if (!seen.used || seen.value.key != plain) break;
      if (!write_flow(flow, seen.sequence, nullptr)) continue;
      shared_->generation.fetch_add(1, std::memory_order_release);
      break;
    }
  }
}

// --- the NF's calls
// -------------------------------------------------------------------------------

int FlowDirector::find(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept {
  if (shared_ == nullptr) return -ENOENT;
  const Lock lock(lock_);
  take_over();
  if (table() == nullptr) return -ENOENT;
  const int index = onvm_ft_lookup_key(table(), key, nullptr);
  if (index >= 0) *entry = entry_at(index);
  return index;
}

int FlowDirector::get_key(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept {
  const Lock lock(lock_);
  const int index = find(key, entry);
  if (index >= 0) list(index);
  return index;
}

int FlowDirector::add(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept {
  if (shared_ == nullptr || make_table() != 0) return -EINVAL;
  const Lock lock(lock_);
  take_over();
  const int index = onvm_ft_add_key(table(), key, nullptr);
  if (index < 0) return index;
  // Of one that was there already: what comes is the NF's word, whatever the others withdraw.
  reset(index);
  *entry = entry_at(index);
  std::memset(*entry, 0, sizeof(onvm_flow_entry));
  list(index);
  return index;
}

int FlowDirector::remove(onvm_ft_ipv4_5tuple* key, bool and_free) noexcept {
  if (shared_ == nullptr) return -ENOENT;
  const Lock lock(lock_);
  take_over();
  if (table() == nullptr) return -ENOENT;
  const int index = onvm_ft_remove_key(table(), key);
  if (index < 0) return index;
  retract(*key);
  // The chain is the NF's from here on, whoever made it: it may have freed it.
  known_[index].own_chain = nullptr;
  known_[index].own_key = nullptr;
  reset(index);
  if (!and_free) return index;
  onvm_flow_entry& entry = *entry_at(index);
  onvm_service_chain* const chain = std::exchange(entry.sc, nullptr);
  onvm_ft_ipv4_5tuple* const own_key = std::exchange(entry.key, nullptr);
  if (chain != nullptr && --chain->ref_cnt <= 0) rte_free(chain);
  if (own_key != key) rte_free(own_key);
  return index;
}

bool FlowDirector::chain_of(rte_mbuf* mbuf, onvm_service_chain& chain) noexcept {
  if (!active()) return false;
  onvm_ft_ipv4_5tuple key;
  onvm_flow_entry* entry = nullptr;
  if (onvm_ft_fill_key(&key, mbuf) < 0) return false;
  const Lock lock(lock_);
  if (find(&key, &entry) < 0 || entry->sc == nullptr) return false;
  chain = *entry->sc;
  return true;
}

bool FlowDirector::enter_chain(rte_mbuf* mbuf, std::uint16_t own, onvm_pkt_meta& meta) noexcept {
  onvm_service_chain chain;
  if (!chain_of(mbuf, chain)) return false;
  if (onvm_next_action(&chain, 0) == ONVM_NF_ACTION_DROP) return false;
  const std::uint16_t first = onvm_next_destination(&chain, 0);
  meta.chain_index = 1;
  if (first == own && onvm_next_action(&chain, 0) == ONVM_NF_ACTION_TONF) return false;
  meta.action = onvm_next_action(&chain, 0);
  meta.destination = first;
  return true;
}

bool FlowDirector::next_hop(rte_mbuf* mbuf, onvm_pkt_meta& meta) noexcept {
  onvm_service_chain chain;
  if (!chain_of(mbuf, chain)) return false;
  meta.action = onvm_next_action(&chain, meta.chain_index);
  meta.destination = onvm_next_destination(&chain, meta.chain_index);
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
  return FlowDirector::get().get_key(key, entry);
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
  return FlowDirector::get().remove(key, false);
}

int onvm_flow_dir_del_pkt(struct rte_mbuf* pkt) {
  onvm_ft_ipv4_5tuple key;
  if (onvm_ft_fill_key(&key, pkt) < 0) return -EPROTONOSUPPORT;
  return FlowDirector::get().remove(&key, false);
}

int onvm_flow_dir_del_and_free_key(struct onvm_ft_ipv4_5tuple* key) {
  return FlowDirector::get().remove(key, true);
}

int onvm_flow_dir_del_and_free_pkt(struct rte_mbuf* pkt) {
  onvm_ft_ipv4_5tuple key;
  if (onvm_ft_fill_key(&key, pkt) < 0) return -EPROTONOSUPPORT;
  return onvm_flow_dir_del_and_free_key(&key);
}

}  // extern "C"
