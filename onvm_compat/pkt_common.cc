// onvm_pkt_common.h, and what onvm_common.h declares of packets and names.
#include "onvm_compat/include/onvm_pkt_common.h"

#include <cstdio>

#include "onvm_compat/instance.h"
#include "onvm_compat/process.h"

using hb::onvm::PacketTable;
using hb::onvm::Process;

namespace {

/// A buffer of its own for each of the calling functions' names.
const char* name_of(char (&buffer)[32], const char* format, unsigned id) {
  snprintf(buffer, sizeof(buffer), format, id);
  return buffer;
}

}  // namespace

extern "C" {

struct onvm_pkt_meta* onvm_get_pkt_meta(struct rte_mbuf* pkt) {
  PacketTable& packets = Process::get().packets();
  const uint32_t number = packets.number(pkt);
  // An mbuf of the NF's own pool has no platform data, so their place is free.
  static_assert(sizeof(onvm_pkt_meta) <= sizeof(hb::PacketMeta));
  if (number == PacketTable::kNotAPacket)
    return RTE_MBUF_DYNFIELD(pkt, hb::packet_meta_offset, onvm_pkt_meta*);
  return &packets.meta(number);
}

uint8_t onvm_get_pkt_chain_index(struct rte_mbuf* pkt) {
  return onvm_get_pkt_meta(pkt)->chain_index;
}

void onvm_pkt_process_tx_batch(struct queue_mgr* /*tx_mgr*/, struct rte_mbuf* pkts[], uint16_t n,
                               struct onvm_nf* nf) {
  if (nf == nullptr || pkts == nullptr) return;
  // The loop judges each by its meta and counts it there. What does not fit is dropped, as there.
  const unsigned sent =
      rte_ring_mp_enqueue_burst(nf->tx_q, reinterpret_cast<void**>(pkts), n, nullptr);
  if (sent == n) return;
  nf->stats.tx_drop = nf->stats.tx_drop + (n - sent);
  rte_pktmbuf_free_bulk(pkts + sent, n - sent);
}

void onvm_pkt_flush_all_nfs(struct queue_mgr* /*tx_mgr*/, struct onvm_nf* /*nf*/) {}
void onvm_pkt_flush_nf_queue(struct queue_mgr* /*tx_mgr*/, uint16_t /*nf_id*/,
                             struct onvm_nf* /*nf*/) {}
void onvm_pkt_flush_port_queue(struct queue_mgr* /*tx_mgr*/, uint16_t /*port*/) {}

void onvm_pkt_enqueue_nf(struct queue_mgr* tx_mgr, uint16_t service, struct rte_mbuf* pkt,
                         struct onvm_nf* nf) {
  onvm_pkt_meta* const meta = onvm_get_pkt_meta(pkt);
  meta->action = ONVM_NF_ACTION_TONF;
  meta->destination = service;
  onvm_pkt_process_tx_batch(tx_mgr, &pkt, 1, nf);
}

void onvm_pkt_enqueue_tx_thread(struct packet_buf* buf, struct onvm_nf* nf) {
  onvm_pkt_process_tx_batch(nullptr, buf->buffer, buf->count, nf);
  buf->count = 0;
}

int onvm_get_macaddr(uint8_t port, struct rte_ether_addr* mac) {
  if (ports == nullptr || port >= ports->num_ports || mac == nullptr) return -1;
  *mac = ports->mac[port];
  return 0;
}

int onvm_get_fake_macaddr(struct rte_ether_addr* mac) {
  *mac = {{0x02, 0, 0, 0, 0, 0}};
  return 0;
}

const char* get_rx_queue_name(unsigned id) {
  static char buffer[32];
  return name_of(buffer, MP_NF_RXQ_NAME, id);
}
const char* get_tx_queue_name(unsigned id) {
  static char buffer[32];
  return name_of(buffer, MP_NF_TXQ_NAME, id);
}
const char* get_msg_queue_name(unsigned id) {
  static char buffer[32];
  return name_of(buffer, _NF_MSG_QUEUE_NAME, id);
}
const char* get_sem_name(unsigned id) {
  static char buffer[32];
  return name_of(buffer, MP_CLIENT_SEM_NAME, id);
}
key_t get_rx_shmkey(unsigned id) { return static_cast<key_t>(KEY_PREFIX * 10 + id); }

int whether_wakeup_client(struct onvm_nf* nf, void* /*nf_wakeup_info*/) {
  return nf != nullptr && (rte_ring_count(nf->rx_q) >= PKT_WAKEUP_THRESHOLD ||
                           rte_ring_count(nf->msg_q) >= MSG_WAKEUP_THRESHOLD);
}

}  // extern "C"
