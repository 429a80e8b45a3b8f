// ipsec on the device: seals packets into ESP tunnels and opens them, as the host's gate has
// decided (nf_lib/esp/gate.h). The work-group moves its packets through local memory together,
// 128 bytes of each at a time; one work-item computes one packet.
#ifndef HB_KERNELS_IPSEC_CL
#define HB_KERNELS_IPSEC_CL

#include "esp_lane.h"

/// Local memory: a row for each packet, the cipher tables, where to move what, how many chunks.
#define HB_ESP_GROUP_WORDS(n_lanes) (HB_TILE_WORDS(n_lanes) + HB_ESP_CIPHER_WORDS + 3u * (n_lanes))
HB_STATIC_ASSERT(HB_ESP_GROUP_WORDS(HB_ESP_MAX_LANES) <= HB_GROUP_WORDS, esp_fits_local_memory);

/// Ends the opening of a packet whose ICV was right: all of it is plain in the device's memory.
DEVICE void hb_esp_end_open(HbEspLane* me) {
  const u32 sealed_at = me->inner_bytes;
  GLOBAL u8* frame = me->packet.mbuf + me->packet.offset;
  const HbEspOpened opened =
      hb_esp_finish_open(frame, &me->sa->wire, me->ip_at, sealed_at, me->sealed_bytes);
  if (opened.inner_bytes == 0) {
    me->verdict = HB_VERDICT_DROP;
    me->drop = opened.drop;
    return;
  }
  hb_cut_front(&me->packet, sealed_at - me->ip_at);
  hb_cut_back(&me->packet, me->ip_at + opened.inner_bytes);
}

/// One round of ipsec. Called by all work-items of the group: their number is a multiple of
/// HB_CHUNK_LINES and at most HB_ESP_MAX_LANES.
DEVICE void hb_round_ipsec(const HbRound* round) {
  LOCAL u32* tile = round->scratch;
  LOCAL u32* ciphers = tile + HB_TILE_WORDS(round->n_lanes);
  LOCAL u32* moved = ciphers + HB_ESP_CIPHER_WORDS;
  LOCAL u32* counts = moved + 2 * round->n_lanes;
  LOCAL u32* row = tile + round->lane * HB_TILE_ROW_WORDS;
  GLOBAL const HbEspTable* table = (GLOBAL const HbEspTable*)round->table;
  GLOBAL const u32* source = (GLOBAL const u32*)&table->ciphers;
  HbAesTables aes;
  aes.encrypt = ciphers;
  aes.decrypt = ciphers + 256;
  aes.inverse_sbox = ciphers + 512;
  LOCAL const u32* reduce = ciphers + 576;

  HbEspLane me;
  hb_esp_take(round, &me);
  hb_set_moved_slot(moved, round->lane, me.moved);
  const u32 own_lines = hb_window(round, me.moved).n_lines;
  // A line is stored one line late: behind the chunk in which it came, or the one after.
  counts[round->lane] = own_lines == 0 ? 0 : own_lines / HB_CHUNK_LINES + 1;
  if (table->magic == HB_ESP_TABLE_MAGIC)
    for (u32 i = round->lane; i < HB_ESP_CIPHER_WORDS; i += round->n_lanes) ciphers[i] = source[i];
  GROUP_BARRIER();
  hb_fold_highest(round, counts);
  GROUP_BARRIER();
  const u32 n_chunks = hb_folded_highest(round, counts);

  HbCarried carried;
  u32 last_line[4];
  last_line[0] = last_line[1] = last_line[2] = last_line[3] = 0;
  hb_chunk_fetch(round, moved, 0, &carried);
  for (u32 chunk = 0; chunk < n_chunks; ++chunk) {
    for (u32 i = 0; i < 4; ++i) row[i] = last_line[i];
    hb_chunk_put(round, tile, HB_ESP_LEAD_BYTES / 4, &carried);
    hb_chunk_fetch(round, moved, (chunk + 1) * HB_CHUNK_LINES, &carried);
    GROUP_BARRIER();
    hb_esp_chunk(round, &me, row, chunk, &aes, reduce);
    for (u32 i = 0; i < 4; ++i) last_line[i] = row[HB_CHUNK_BYTES / 4 + i];
    GROUP_BARRIER();
    hb_chunk_store(round, moved, tile, chunk * HB_CHUNK_LINES - 1u);
    GROUP_BARRIER();
  }
  if (me.opens != 0 && me.verdict == HB_VERDICT_NEXT) hb_esp_end_open(&me);
  hb_answer(round, round->lane, &me.packet, me.verdict,
            me.verdict == HB_VERDICT_DROP ? me.drop : 0);
}

#endif  // HB_KERNELS_IPSEC_CL
