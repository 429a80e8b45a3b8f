#include "nfs/ipsec/crypto.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <cstring>

#include "nfs/ipsec/write_headers.h"

namespace hb::ipsec {
namespace {

/// Looks at every byte, whatever differs: no time tells how far a forgery was right.
bool equal_in_constant_time(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) noexcept {
  std::uint8_t differs = 0;
  for (std::size_t i = 0; i < n; ++i) differs |= static_cast<std::uint8_t>(a[i] ^ b[i]);
  __asm__ volatile("" : "+r"(differs));  // the compiler knows nothing of the loop's result
  return differs == 0;
}

std::uint32_t icv_offset(const CryptoJob& job) {
  return HB_ESP_HEADER_BYTES + job.sa->iv_bytes + job.sealed_bytes;
}

}  // namespace

Result<SecretIvKey> Crypto::random_iv_key() const {
  std::array<std::uint8_t, IvKey::kSeedBytes> seed;
  if (getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size()))
    return Error{"the kernel gives no random bytes", "Linux 3.17 or later is needed"};
  SecretIvKey key = iv_key(seed);
  explicit_bzero(seed.data(), seed.size());
  return key;
}

SecretIvKey Crypto::iv_key(std::span<const std::uint8_t, IvKey::kSeedBytes> seed) const {
  SecretIvKey key(1);
  alignas(16) std::uint8_t unused[15 * 16];
  IMB_AES_KEYEXP_128(manager_, seed.data(), key.front().round_keys.data(), unused);
  imb_clear_mem(unused, sizeof(unused));
  return key;
}

void Crypto::make_ivs(const IvKey& key, std::span<IvBlock> blocks) const noexcept {
  if (blocks.empty()) return;
  IMB_JOB* job;
  // The queue is empty, and this library's ECB is done at once; one that puts it into the queue is
  // made to do it.
  IMB_GET_NEXT_BURST(manager_, 1, &job);
  job->enc_keys = key.round_keys.data();
  job->dec_keys = nullptr;
  job->key_len_in_bytes = IvKey::kSeedBytes;
  job->src = reinterpret_cast<const std::uint8_t*>(blocks.data());
  job->dst = reinterpret_cast<std::uint8_t*>(blocks.data());
  job->cipher_start_src_offset_in_bytes = 0;
  job->msg_len_to_cipher_in_bytes = blocks.size_bytes();
  job->iv_len_in_bytes = 0;
  job->cipher_mode = IMB_CIPHER_ECB;
  job->cipher_direction = IMB_DIR_ENCRYPT;
  job->hash_alg = IMB_AUTH_NULL;
  job->chain_order = IMB_ORDER_CIPHER_HASH;
  if (IMB_SUBMIT_BURST_NOCHECK(manager_, 1, &job) == 0) IMB_FLUSH_BURST(manager_, 1, &job);
}

Result<Crypto> Crypto::make() {
  Crypto crypto;
  crypto.memory_.resize(imb_get_mb_mgr_size() + 64);
  crypto.tags_.resize(1);
  crypto.nonces_.resize(1);
  void* at = crypto.memory_.data();
  std::size_t room = crypto.memory_.size();
  std::align(64, imb_get_mb_mgr_size(), at, room);
  crypto.manager_ = imb_set_pointers_mb_mgr(at, 0, 1);
  if (crypto.manager_ == nullptr) return Error{"intel-ipsec-mb refuses its memory", ""};
  IMB_ARCH arch = IMB_ARCH_NONE;
  init_mb_mgr_auto(crypto.manager_, &arch);
  if (const int error = imb_get_errno(crypto.manager_); error != 0)
    return Error{fmt::format("intel-ipsec-mb can't start on this CPU: {}", imb_get_strerror(error)),
                 "an x86 CPU with SSE4.2 is needed"};
  return crypto;
}

void Crypto::expand(const SaConfig& config, SaKeys& keys) const noexcept {
  keys.key_bytes = config.cipher_key_bytes;
  std::memcpy(keys.salt, config.salt.data(), sizeof(keys.salt));
  if (config.algorithm == Algorithm::kAesGcm) {
    if (config.cipher_key_bytes == 16)
      IMB_AES128_GCM_PRE(manager_, config.cipher_key.data(), &keys.gcm);
    else
      IMB_AES256_GCM_PRE(manager_, config.cipher_key.data(), &keys.gcm);
    return;
  }
  if (config.cipher_key_bytes == 16)
    IMB_AES_KEYEXP_128(manager_, config.cipher_key.data(), keys.encrypt, keys.decrypt);
  else
    IMB_AES_KEYEXP_256(manager_, config.cipher_key.data(), keys.encrypt, keys.decrypt);
  // HMAC's key is padded to the hash's block, 64 bytes, which no key here exceeds: RFC 2104.
  alignas(16) std::uint8_t block[64];
  for (const bool inner : {true, false}) {
    for (std::size_t i = 0; i < sizeof(block); ++i)
      block[i] = static_cast<std::uint8_t>(config.auth_key[i] ^ (inner ? 0x36 : 0x5c));
    std::uint8_t* const to = inner ? keys.hmac_inner : keys.hmac_outer;
    if (config.algorithm == Algorithm::kAesCbcSha1)
      IMB_SHA1_ONE_BLOCK(manager_, block, to);
    else
      IMB_SHA256_ONE_BLOCK(manager_, block, to);
  }
  imb_clear_mem(block, sizeof(block));
}

SaId Crypto::identify(const SaConfig& config) const noexcept {
  std::array<std::uint8_t, 160> text{};
  std::size_t at = 0;
  const auto add = [&](const void* bytes, std::size_t n) {
    std::memcpy(text.data() + at, bytes, n);
    at += n;
  };
  add(&config.algorithm, sizeof(config.algorithm));
  add(&config.spi, sizeof(config.spi));
  add(&config.dst, sizeof(config.dst));
  add(&config.cipher_key_bytes, sizeof(config.cipher_key_bytes));
  add(config.cipher_key.data(), config.cipher_key.size());
  add(config.salt.data(), config.salt.size());
  add(config.auth_key.data(), config.auth_key.size());
  std::uint8_t hash[32];
  IMB_SHA256(manager_, text.data(), at, hash);
  imb_clear_mem(text.data(), text.size());
  SaId id;
  std::memcpy(id.data(), hash, sizeof(id));
  for (std::uint64_t& word : id) word |= word == 0;
  return id;
}

void Crypto::run(std::span<CryptoJob> jobs) noexcept {
  std::array<std::size_t, kMaxBurst> cbc;
  std::size_t n_cbc = 0;
  // A burst's nonces first: the library's wide loads of what was just written piece by piece would
  // wait for it each time.
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if ((jobs[i].sa->flags & HB_ESP_GCM) != 0)
      make_nonce(jobs[i], nonces_.front()[i]);
    else
      cbc[n_cbc++] = i;
  }
  for (std::size_t i = 0; i < jobs.size(); ++i)
    if ((jobs[i].sa->flags & HB_ESP_GCM) != 0) run_gcm(jobs[i], nonces_.front()[i]);
  if (n_cbc == 0) return;
  std::array<IMB_JOB*, kMaxBurst> burst;
  const auto n = static_cast<std::uint32_t>(n_cbc);
  // The queue is empty between bursts and holds four of ours, so there is always room.
  const std::uint32_t got = IMB_GET_NEXT_BURST(manager_, n, burst.data());
  for (std::uint32_t k = 0; k < got; ++k) fill(*burst[k], jobs[cbc[k]], cbc[k]);
  const auto finish = [&](std::uint32_t n_done) {
    for (std::uint32_t k = 0; k < n_done; ++k) {
      const auto index = reinterpret_cast<std::uintptr_t>(burst[k]->user_data);
      if (burst[k]->status == IMB_STATUS_COMPLETED) finish_cbc(jobs[index], index);
    }
    return n_done;
  };
  std::uint32_t done = finish(IMB_SUBMIT_BURST_NOCHECK(manager_, got, burst.data()));
  while (done < got) {
    const std::uint32_t more = finish(IMB_FLUSH_BURST(manager_, got - done, burst.data()));
    if (more == 0) break;
    done += more;
  }
}

void Crypto::make_nonce(const CryptoJob& job, Nonce& to) noexcept {
  // RFC 4106 section 4: salt, then the IV of the packet.
  std::memcpy(to.iv, job.keys->salt, 4);
  std::memcpy(to.iv + 4, job.esp + HB_ESP_HEADER_BYTES, 8);
  if ((job.sa->flags & HB_ESP_ESN) == 0) return;
  // Section 5: SPI and sequence number, all 64 bits of it.
  std::memcpy(to.aad, job.esp, 4);
  put_be32(to.aad + 4, static_cast<std::uint32_t>(job.sequence >> 32));
  std::memcpy(to.aad + 8, job.esp + 4, 4);
}

void Crypto::run_gcm(CryptoJob& job, const Nonce& nonce) noexcept {
  std::uint8_t* const sealed = job.esp + HB_ESP_HEADER_BYTES + job.sa->iv_bytes;
  const std::uint8_t* const iv = nonce.iv;
  const bool has_esn = (job.sa->flags & HB_ESP_ESN) != 0;
  const std::uint8_t* const aad = has_esn ? nonce.aad : job.esp;
  const std::uint64_t aad_bytes = has_esn ? 12 : 8;
  std::uint8_t tag[HB_ESP_MAX_ICV];
  gcm_context_data context;
  const gcm_key_data* const key = &job.keys->gcm;
  const bool is_128 = job.keys->key_bytes == 16;
  if (!job.opens) {
    std::uint8_t* const icv = sealed + job.sealed_bytes;
    if (is_128)
      IMB_AES128_GCM_ENC(manager_, key, &context, sealed, sealed, job.sealed_bytes, iv, aad,
                         aad_bytes, icv, HB_ESP_MAX_ICV);
    else
      IMB_AES256_GCM_ENC(manager_, key, &context, sealed, sealed, job.sealed_bytes, iv, aad,
                         aad_bytes, icv, HB_ESP_MAX_ICV);
    job.ok = true;
    return;
  }
  if (is_128)
    IMB_AES128_GCM_DEC(manager_, key, &context, sealed, sealed, job.sealed_bytes, iv, aad,
                       aad_bytes, tag, HB_ESP_MAX_ICV);
  else
    IMB_AES256_GCM_DEC(manager_, key, &context, sealed, sealed, job.sealed_bytes, iv, aad,
                       aad_bytes, tag, HB_ESP_MAX_ICV);
  job.ok = equal_in_constant_time(tag, sealed + job.sealed_bytes, HB_ESP_MAX_ICV);
}

void Crypto::fill(IMB_JOB& to, CryptoJob& job, std::size_t index) noexcept {
  Tags& tags = tags_.front();
  const HbEspSa& sa = *job.sa;
  std::uint8_t* const icv = job.esp + icv_offset(job);
  if (job.opens) std::memcpy(tags.received[index].data(), icv, sa.icv_bytes);
  const bool has_esn = (sa.flags & HB_ESP_ESN) != 0;
  // RFC 4303 section 2.2.1: the high half is hashed behind the sealed part, and not sent.
  if (has_esn) put_be32(icv, static_cast<std::uint32_t>(job.sequence >> 32));
  to.enc_keys = job.keys->encrypt;
  to.dec_keys = job.keys->decrypt;
  to.key_len_in_bytes = job.keys->key_bytes;
  to.src = job.esp;
  to.dst = job.esp + HB_ESP_HEADER_BYTES + sa.iv_bytes;
  to.cipher_start_src_offset_in_bytes = HB_ESP_HEADER_BYTES + sa.iv_bytes;
  to.msg_len_to_cipher_in_bytes = job.sealed_bytes;
  to.hash_start_src_offset_in_bytes = 0;
  to.msg_len_to_hash_in_bytes = icv_offset(job) + (has_esn ? 4 : 0);
  to.iv = job.esp + HB_ESP_HEADER_BYTES;
  to.iv_len_in_bytes = 16;
  to.auth_tag_output = job.opens ? tags.computed[index].data() : icv;
  to.auth_tag_output_len_in_bytes = sa.icv_bytes;
  to.u.HMAC._hashed_auth_key_xor_ipad = job.keys->hmac_inner;
  to.u.HMAC._hashed_auth_key_xor_opad = job.keys->hmac_outer;
  // Of nothing some of the library's loops (AVX2's, say) would decipher a block all the same.
  to.cipher_mode = job.sealed_bytes != 0 ? IMB_CIPHER_CBC : IMB_CIPHER_NULL;
  to.cipher_direction = job.opens ? IMB_DIR_DECRYPT : IMB_DIR_ENCRYPT;
  to.hash_alg = (sa.flags & HB_ESP_SHA256) != 0 ? IMB_AUTH_HMAC_SHA_256 : IMB_AUTH_HMAC_SHA_1;
  to.chain_order = job.opens ? IMB_ORDER_HASH_CIPHER : IMB_ORDER_CIPHER_HASH;
  to.user_data = reinterpret_cast<void*>(index);  // NOLINT: a number, as the library keeps it
}

void Crypto::finish_cbc(CryptoJob& job, std::size_t index) noexcept {
  const Tags& tags = tags_.front();
  // Sealing, the library has written the ICV where it belongs.
  job.ok = !job.opens || equal_in_constant_time(tags.computed[index].data(),
                                                tags.received[index].data(), job.sa->icv_bytes);
}

}  // namespace hb::ipsec
