// onvm_flow_table.h.
#include "onvm_compat/include/onvm_flow_table.h"

#include <arpa/inet.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include <atomic>
#include <cstdlib>

#include "onvm_compat/plain_key.h"
#include "onvm_compat/toeplitz.h"

uint8_t rss_symmetric_key[40] = {0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
                                 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
                                 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
                                 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a};

using hb::onvm::plain_key;
using hb::onvm::PlainKey;

namespace {

uint32_t hash_of_key(const void* key, uint32_t /*bytes*/, uint32_t /*init*/) {
  onvm_ft_ipv4_5tuple tuple;
  memcpy(&tuple, key, sizeof(tuple));
  return hb::onvm::flow_hash(tuple);
}

}  // namespace

extern "C" {

struct onvm_ft* onvm_ft_create(int cnt, int entry_size) {
  static std::atomic<unsigned> n_tables{0};
  if (cnt <= 0 || entry_size < 0) return nullptr;
  char name[RTE_HASH_NAMESIZE];
  snprintf(name, sizeof(name), "onvm_ft_%u", n_tables.fetch_add(1));
  rte_hash_parameters parameters{};
  parameters.name = name;
  parameters.entries = static_cast<uint32_t>(cnt);
  parameters.key_len = sizeof(onvm_ft_ipv4_5tuple);
  // The hash that callers find in hash.rss: the _with_hash functions must agree with the others.
  parameters.hash_func = hash_of_key;
  parameters.socket_id = SOCKET_ID_ANY;
  // Both halves of that hash are equal, so that every key's second bucket is the same one: a table
  // of 256 was full with 148. With more buckets behind full ones all of cnt fit.
  parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE;
  auto* const table = static_cast<onvm_ft*>(rte_zmalloc("table", sizeof(onvm_ft), 0));
  if (table == nullptr) return nullptr;
  table->cnt = cnt;
  table->entry_size = entry_size;
  table->hash = rte_hash_create(&parameters);
  // A position can be as large as the hash' capacity, one more than its entries.
  table->data = static_cast<char*>(
      rte_calloc("entry", static_cast<size_t>(cnt) + 1, static_cast<size_t>(entry_size), 0));
  if (table->hash != nullptr && (table->data != nullptr || entry_size == 0)) return table;
  onvm_ft_free(table);
  return nullptr;
}

void onvm_ft_free(struct onvm_ft* table) {
  if (table == nullptr) return;
  rte_hash_free(table->hash);
  rte_free(table->data);
  rte_free(table);
}

int onvm_ft_add_key(struct onvm_ft* table, struct onvm_ft_ipv4_5tuple* key, char** data) {
  if (table == nullptr || key == nullptr) return -EINVAL;
  const PlainKey plain = plain_key(*key);
  const int index = rte_hash_add_key_with_hash(table->hash, &plain, onvm_softrss(key));
  if (index >= 0 && data != nullptr) *data = onvm_ft_get_data(table, index);
  return index;
}

int onvm_ft_lookup_key(struct onvm_ft* table, struct onvm_ft_ipv4_5tuple* key, char** data) {
  if (table == nullptr || key == nullptr) return -EINVAL;
  const PlainKey plain = plain_key(*key);
  const int index = rte_hash_lookup_with_hash(table->hash, &plain, onvm_softrss(key));
  if (index >= 0 && data != nullptr) *data = onvm_ft_get_data(table, index);
  return index;
}

int32_t onvm_ft_remove_key(struct onvm_ft* table, struct onvm_ft_ipv4_5tuple* key) {
  if (table == nullptr || key == nullptr) return -EINVAL;
  const PlainKey plain = plain_key(*key);
  return rte_hash_del_key_with_hash(table->hash, &plain, onvm_softrss(key));
}

int onvm_ft_add_pkt(struct onvm_ft* table, struct rte_mbuf* pkt, char** data) {
  onvm_ft_ipv4_5tuple key;
  const int filled = onvm_ft_fill_key(&key, pkt);
  return filled < 0 ? filled : onvm_ft_add_key(table, &key, data);
}

int onvm_ft_lookup_pkt(struct onvm_ft* table, struct rte_mbuf* pkt, char** data) {
  onvm_ft_ipv4_5tuple key;
  const int filled = onvm_ft_fill_key(&key, pkt);
  return filled < 0 ? filled : onvm_ft_lookup_key(table, &key, data);
}

int32_t onvm_ft_remove_pkt(struct onvm_ft* table, struct rte_mbuf* pkt) {
  onvm_ft_ipv4_5tuple key;
  const int filled = onvm_ft_fill_key(&key, pkt);
  return filled < 0 ? filled : onvm_ft_remove_key(table, &key);
}

int32_t onvm_ft_iterate(struct onvm_ft* table, const void** key, void** data, uint32_t* next) {
  if (table == nullptr || key == nullptr || data == nullptr || next == nullptr) return -EINVAL;
  void* unused = nullptr;
  const int32_t index = rte_hash_iterate(table->hash, key, &unused, next);
  if (index >= 0) *data = onvm_ft_get_data(table, index);
  return index;
}

uint32_t onvm_softrss(struct onvm_ft_ipv4_5tuple* key) { return hb::onvm::flow_hash(*key); }

uint32_t onvm_ft_ipv4_hash_crc(const void* data, uint32_t /*bytes*/, uint32_t init) {
  const PlainKey plain = plain_key(*static_cast<const onvm_ft_ipv4_5tuple*>(data));
  return rte_hash_crc(plain.words.data(), sizeof(plain), init);
}

void _onvm_ft_print_key(struct onvm_ft_ipv4_5tuple* key) {
  char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &key->src_addr, src, sizeof(src));
  inet_ntop(AF_INET, &key->dst_addr, dst, sizeof(dst));
  printf("IP: %s > %s, ports: %u > %u, protocol: %u\n", src, dst, rte_be_to_cpu_16(key->src_port),
         rte_be_to_cpu_16(key->dst_port), key->proto);
}

}  // extern "C"
