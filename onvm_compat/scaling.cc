// onvm_nflib.h: children of an NF, and what they are configured with.
#include <rte_malloc.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include "onvm_compat/init_cfg.h"

namespace {

using hb::onvm::free_init_cfg;

/// @param cfg  becomes the result's, or is freed
onvm_nf_scale_info* new_scale_info(onvm_nf* parent, onvm_nf_init_cfg* cfg) {
  if (cfg == nullptr) return nullptr;
  auto* const info =
      static_cast<onvm_nf_scale_info*>(rte_zmalloc("scale", sizeof(onvm_nf_scale_info), 0));
  if (info == nullptr) {
    free_init_cfg(cfg);
    return nullptr;
  }
  info->parent = parent;
  info->nf_init_cfg = cfg;
  return info;
}

/// What a scaled child's thread starts with. The function table is a copy: the caller's stays the
/// caller's, which may give it to several children.
struct Child {
  onvm_nf_init_cfg* cfg;
  onvm_nf* parent;
  void* data;
  onvm_nf_function_table functions;
};

void run_child(std::unique_ptr<Child> child) {
  onvm_nf* const parent = child->parent;
  onvm_nf_local_ctx* const ctx = onvm_nflib_init_nf_local_ctx();
  if (onvm_nflib_start_nf(ctx, child->cfg) == 0) {
    ctx->nf->function_table = onvm_nflib_init_nf_function_table();
    *ctx->nf->function_table = child->functions;
    ctx->nf->data = child->data;
    ctx->nf->thread_info.parent = parent->instance_id;
    onvm_nflib_thread_main_loop(ctx);
    onvm_nflib_stop(ctx);
  } else {
    free(ctx);
    rte_atomic16_dec(&parent->thread_info.children_cnt);
  }
}

}  // namespace

extern "C" {

struct onvm_nf_init_cfg* onvm_nflib_init_nf_init_cfg(const char* tag) {
  auto* const cfg = static_cast<onvm_nf_init_cfg*>(rte_zmalloc("cfg", sizeof(onvm_nf_init_cfg), 0));
  auto* const copy = static_cast<char*>(rte_zmalloc("tag", TAG_SIZE, 0));
  if (cfg == nullptr || copy == nullptr) {
    rte_free(cfg);
    rte_free(copy);
    return nullptr;
  }
  strncpy(copy, tag, TAG_SIZE - 1);
  cfg->tag = copy;
  cfg->instance_id = static_cast<uint16_t>(NF_NO_ID);
  cfg->core = static_cast<uint16_t>(rte_lcore_id());
  cfg->status = NF_WAITING_FOR_ID;
  return cfg;
}

struct onvm_nf_init_cfg* onvm_nflib_inherit_parent_init_cfg(struct onvm_nf* parent) {
  onvm_nf_init_cfg* const cfg = onvm_nflib_init_nf_init_cfg(parent->tag);
  if (cfg == nullptr) return nullptr;
  cfg->service_id = parent->service_id;
  cfg->core = parent->thread_info.core;
  cfg->init_options = parent->flags.init_options;
  cfg->time_to_live = parent->flags.time_to_live;
  cfg->pkt_limit = parent->flags.pkt_limit;
  return cfg;
}

struct onvm_nf_scale_info* onvm_nflib_get_empty_scaling_config(struct onvm_nf* parent) {
  return new_scale_info(parent, onvm_nflib_init_nf_init_cfg(parent->tag));
}

struct onvm_nf_scale_info* onvm_nflib_inherit_parent_config(struct onvm_nf* parent, void* data) {
  onvm_nf_scale_info* const info =
      new_scale_info(parent, onvm_nflib_inherit_parent_init_cfg(parent));
  if (info == nullptr) return nullptr;
  info->data = data;
  info->function_table = parent->function_table;
  return info;
}

int onvm_nflib_scale(struct onvm_nf_scale_info* info) {
  if (info == nullptr || info->nf_init_cfg == nullptr || info->parent == nullptr ||
      info->function_table == nullptr)
    return -1;
  auto child = std::make_unique<Child>(
      Child{info->nf_init_cfg, info->parent, info->data, *info->function_table});
  rte_atomic16_inc(&info->parent->thread_info.children_cnt);
  rte_free(info);
  std::thread(run_child, std::move(child)).detach();
  return 0;
}

}  // extern "C"
