// onvm_sc_common.h and onvm_sc_mgr.h.
#include <rte_malloc.h>

#include <cerrno>
#include <cstdio>

#include "onvm_compat/include/onvm_pkt_common.h"
#include "onvm_compat/include/onvm_sc_mgr.h"
#include "onvm_compat/process.h"

namespace {

/// OpenNetVM's default: to service 1. What NEXT means without a flow's own chain is routes.csv's to
/// say, so that nothing is decided by it here.
onvm_service_chain the_default = {{{0, 0}, {1, ONVM_NF_ACTION_TONF}, {0, 0}, {0, 0}}, 1, 1};

}  // namespace

struct onvm_service_chain* default_chain = &the_default;
struct onvm_nf* nfs = nullptr;
uint16_t** services = nullptr;
uint16_t* nf_per_service_count = nullptr;

extern "C" {

uint16_t onvm_sc_service_to_nf_map(uint16_t service_id, struct rte_mbuf* pkt) {
  using hb::onvm::Instance;
  hb::onvm::Process& process = hb::onvm::Process::get();
  uint16_t found[hb::kMaxInstances];
  uint32_t n = 0;
  for (unsigned slot = 1; slot <= hb::kMaxInstances; ++slot) {
    Instance* const one = process.instance(static_cast<hb::onvm::Slot>(slot));
    if (one != nullptr && one->nf()->service_id == service_id) found[n++] = one->nf()->instance_id;
  }
  if (n == 0) return 0;
  return found[pkt != nullptr ? pkt->hash.rss % n : 0];
}

int onvm_sc_append_entry(struct onvm_service_chain* chain, uint8_t action, uint16_t destination) {
  if (chain->chain_length + 1 >= ONVM_MAX_CHAIN_LENGTH) return ENOSPC;
  ++chain->chain_length;
  chain->sc[chain->chain_length].action = action;
  chain->sc[chain->chain_length].destination = destination;
  return 0;
}

int onvm_sc_set_entry(struct onvm_service_chain* chain, int entry, uint8_t action,
                      uint16_t destination) {
  if (entry < 1 || entry > chain->chain_length) return -1;
  chain->sc[entry].action = action;
  chain->sc[entry].destination = destination;
  return 0;
}

void onvm_sc_print(struct onvm_service_chain* chain) {
  for (int i = 1; i <= chain->chain_length; ++i)
    printf("action %u, destination %u%s", chain->sc[i].action, chain->sc[i].destination,
           i < chain->chain_length ? "; " : "");
  printf("\n");
}

struct onvm_service_chain* onvm_sc_get(void) {
  return nullptr;
}

struct onvm_service_chain* onvm_sc_create(void) {
  return static_cast<onvm_service_chain*>(rte_calloc("chain", 1, sizeof(onvm_service_chain), 0));
}

}  // extern "C"
