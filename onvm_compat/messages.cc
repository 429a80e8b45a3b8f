// onvm_nflib.h: messages to NFs, and the tables that OpenNetVM's NFs ask its manager for by
// message.
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_lpm.h>
#include <rte_malloc.h>

#include <cstring>

#include "onvm_compat/include/onvm_nflib.h"
#include "onvm_compat/instance.h"
#include "onvm_compat/process.h"

using hb::onvm::Instance;
using hb::onvm::Process;

extern "C" {

int onvm_nflib_handle_msg(struct onvm_nf_msg* msg, struct onvm_nf_local_ctx* ctx) {
  switch (msg->msg_type) {
    case MSG_STOP:
      rte_atomic16_set(&ctx->keep_running, 0);
      break;
    case MSG_SCALE:
      onvm_nflib_scale(static_cast<onvm_nf_scale_info*>(msg->msg_data));
      break;
    case MSG_FROM_NF:
      if (ctx->nf->function_table != nullptr && ctx->nf->function_table->msg_handler != nullptr)
        ctx->nf->function_table->msg_handler(msg->msg_data, ctx);
      break;
    case MSG_CHANGE_CORE:
      if (msg->msg_data != nullptr) {
        ctx->nf->thread_info.core = *static_cast<uint16_t*>(msg->msg_data);
        onvm_threading_core_affinitize(ctx->nf->thread_info.core);
        rte_free(msg->msg_data);
      }
      break;
    default:
      break;
  }
  return 0;
}

int onvm_nflib_send_msg_to_nf(uint16_t destination_service, void* data) {
  Process& process = Process::get();
  if (Instance* const own = process.find_service(destination_service))
    return own->post(MSG_FROM_NF, data);
  const uint32_t service = process.service_of(destination_service);
  if (service == hb::kMaxServices) return -ENOENT;
  size_t bytes = 0;
  if (data != nullptr && rte_malloc_validate(data, &bytes) != 0) return -EINVAL;
  const hb::Registry& registry = process.attachment().registry();
  Instance* sender = nullptr;
  for (unsigned slot = 1; slot <= hb::kMaxInstances && sender == nullptr; ++slot)
    sender = process.instance(static_cast<hb::onvm::Slot>(slot));
  if (sender == nullptr) return -EINVAL;
  const hb::InstanceEntry* first = nullptr;
  for (const hb::InstanceEntry& entry : registry.instances)
    if (entry.service == service &&
        entry.state.load(std::memory_order_acquire) == hb::InstanceState::kRunning &&
        (first == nullptr || entry.number < first->number))
      first = &entry;
  if (first == nullptr) return -ENOENT;
  const int sent =
      sender->send_foreign(static_cast<uint32_t>(first - registry.instances), data, bytes);
  if (sent == 0) rte_free(data);
  return sent;
}

int onvm_nflib_request_lpm(struct lpm_request* req) {
  if (req == nullptr || memchr(req->name, '\0', sizeof(req->name)) == nullptr) return -EINVAL;
  rte_lpm_config config{};
  config.max_rules = req->max_num_rules;
  config.number_tbl8s = req->num_tbl8s;
  const bool made = rte_lpm_find_existing(req->name) != nullptr ||
                    rte_lpm_create(req->name, SOCKET_ID_ANY, &config) != nullptr;
  req->status = made ? 0 : -rte_errno;
  return req->status;
}

int onvm_nflib_request_ft(struct rte_hash_parameters* params) {
  if (params == nullptr || params->name == nullptr) return -EINVAL;
  if (rte_hash_find_existing(params->name) != nullptr) return 0;
  return rte_hash_create(params) != nullptr ? 0 : -rte_errno;
}

}  // extern "C"
