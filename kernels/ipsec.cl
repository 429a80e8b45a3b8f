// ipsec on the device: seals packets into ESP tunnels and opens them, as the host's gate has
// decided (nf_lib/esp/gate.h). The work-group moves its packets through local memory together,
// 128 bytes of each at a time; one work-item computes one packet.
#ifndef HB_KERNELS_IPSEC_CL
#define HB_KERNELS_IPSEC_CL

#include "esp_cipher.h"

/// Local memory: a row for each packet, what to move of it, how many chunks, and what the ciphers
/// look up; the T-tables lie elsewhere on NVIDIA.
#define HB_ESP_GROUP_WORDS(n_lanes)                                 \
  (HB_TILE_WORDS(n_lanes) + (HB_MOVE_WORDS + 1u) * (n_lanes) + 80u + \
   (HB_AES_COPIES > 1u ? 0u : 2u * HB_AES_TABLE_WORDS))
HB_STATIC_ASSERT(HB_ESP_GROUP_WORDS(HB_ESP_MAX_LANES) <= HB_GROUP_WORDS, esp_fits_local_memory);
HB_STATIC_ASSERT(HB_AES_COPIES == 1u || 8u * HB_AES_TABLE_WORDS ==
                                            HB_EXTRA_LOCAL_BYTES(HB_GPU_NF_IPSEC),
                 t_tables_fit_extra_local_memory);

/// One round of ipsec. Called by all work-items of the group: their number is a multiple of
/// HB_CHUNK_LINES and at most HB_ESP_MAX_LANES.
DEVICE void hb_round_ipsec(const HbRound* round) {
  LOCAL u32* tile = round->scratch;
  LOCAL u32* moves = tile + HB_TILE_WORDS(round->n_lanes);
  LOCAL u32* counts = moves + HB_MOVE_WORDS * round->n_lanes;
  LOCAL u32* look_up = counts + round->n_lanes;
  EXTRA_LOCAL_WORDS(t_tables, look_up + 80u);
  GLOBAL const HbEspTable* table = (GLOBAL const HbEspTable*)round->table;

  HbEspLane me;
  HbMove move;
  hb_esp_take(round, &me, &move);
  hb_set_move(moves, round->lane, &move);
  counts[round->lane] = hb_move_chunks(&move);
  if (table->magic == HB_ESP_TABLE_MAGIC) {
    hb_aes_copy_table(t_tables, table->ciphers.encrypt, round->lane, round->n_lanes);
    hb_aes_copy_table(t_tables + HB_AES_TABLE_WORDS, table->ciphers.decrypt, round->lane,
                      round->n_lanes);
    for (u32 i = round->lane; i < 80u; i += round->n_lanes)
      look_up[i] = i < 64u ? table->ciphers.inverse_sbox[i & 63u] : table->ciphers.reduce[i & 15u];
  }
  HbAesTables aes;
  aes.encrypt = t_tables + round->lane % HB_AES_COPIES;
  aes.decrypt = aes.encrypt + HB_AES_TABLE_WORDS;
  aes.inverse_sbox = look_up;
  LOCAL const u32* reduce = look_up + 64u;
  GROUP_BARRIER();
  hb_fold_highest(round, counts);
  GROUP_BARRIER();
  const u32 n_chunks = hb_folded_highest(round, counts);

  HbCarried carried;
  HbEspChunk chunk;
  chunk.row = tile + round->lane * HB_TILE_ROW_WORDS;
  u32 lead[4];
  lead[0] = lead[1] = lead[2] = lead[3] = 0;
  hb_chunk_fetch(round, moves, 0, &carried);
  for (u32 i = 0; i < n_chunks; ++i) {
    HB_UNROLL for (u32 k = 0; k < 4u; ++k) chunk.row[k] = lead[k];
    hb_chunk_put(round, tile, HB_ESP_LEAD_BYTES / 4u, &carried);
    hb_chunk_fetch(round, moves, i + 1, &carried);
    GROUP_BARRIER();
    chunk.start = hb_chunk_start(moves, round->lane, i) * HB_LINE16;
    chunk.end = hb_chunk_start(moves, round->lane, i + 1) * HB_LINE16;
    LOCAL const u32* last = chunk.row + (chunk.end - chunk.start) / 4u;
    HB_UNROLL for (u32 k = 0; k < 4u; ++k) lead[k] = last[k];
    if (me.is_moved != 0) hb_esp_chunk(round, &me, &chunk, i == 0, &aes, reduce);
    GROUP_BARRIER();
    hb_chunk_store(round, moves, tile, HB_ESP_LEAD_BYTES / 4u, i);
    GROUP_BARRIER();
  }
  hb_answer(round, round->lane, &me.packet, me.verdict,
            me.verdict == HB_VERDICT_DROP ? me.drop : 0);
}

#endif  // HB_KERNELS_IPSEC_CL
