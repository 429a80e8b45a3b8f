#include "nfs/nids/nids.h"

#include <rte_prefetch.h>

#include "nfs/nids/aho_corasick.h"

namespace hb::nids {
namespace {

constexpr std::size_t kPrefetchAhead = 4;

}  // namespace

void Nids::process_burst(std::span<rte_mbuf* const> burst, std::span<Verdict> verdicts) noexcept {
  inspector_.take_new_rules();  // a burst is judged by one set of rules
  for (std::size_t i = 0; i < burst.size(); ++i) {
    if (i + kPrefetchAhead < burst.size()) {
      rte_prefetch0(rte_pktmbuf_mtod(burst[i + kPrefetchAhead], void*));
    }
    PacketMeta& meta = packet_meta(burst[i]);
    const Judgement judgement = inspector_.inspect(
        {rte_pktmbuf_mtod(burst[i], const std::uint8_t*), rte_pktmbuf_data_len(burst[i])}, meta);
    if (judgement.type) meta.type = *judgement.type;
    verdicts[i] = judgement.drop ? Verdict::drop(static_cast<std::uint32_t>(*judgement.drop))
                                 : Verdict::next();
  }
}

Result<void> NidsOnGpu::setup(NfContext& context) {
  if (const Result<void> done = inspector_.setup(context); !done) return done;
  if (inspector_.judges_packets()) {
    return Error{"the GPU twin only alerts: it can't drop packets or change their type",
                 "give --alert-only, or run nids without --gpu"};
  }
  return {};
}

Result<std::vector<std::byte>> NidsOnGpu::table() { return build_nids_table(inspector_.rules()); }

void NidsOnGpu::on_copy(const CopyRecord& record, std::span<const std::uint8_t> bytes) noexcept {
  inspector_.inspect(bytes, record.meta);
}

}  // namespace hb::nids
