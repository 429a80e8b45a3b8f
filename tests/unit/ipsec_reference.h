// ESP by OpenSSL, one packet at a time: what the NF's engine is compared with. It shares no code
// with it but the bytes on the wire.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hb::test {

using Bytes = std::vector<std::uint8_t>;

inline Bytes from_hex(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}
inline std::string to_hex(const Bytes& bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t b : bytes) text += {digits[b >> 4], digits[b & 15]};
  return text;
}

/// One SA as the reference wants it.
struct ReferenceSa {
  bool gcm = true;
  bool sha256 = false;  ///< with CBC; else SHA-1
  bool esn = false;
  std::uint32_t spi = 0x301;
  Bytes cipher_key = {};
  Bytes salt = {};  ///< 4 bytes, GCM
  Bytes auth_key = {};

  [[nodiscard]] std::size_t iv_bytes() const { return gcm ? 8 : 16; }
  [[nodiscard]] std::size_t icv_bytes() const { return gcm || sha256 ? 16 : 12; }
  [[nodiscard]] std::size_t block() const { return gcm ? 4 : 16; }
  /// As a command for an SA file.
  [[nodiscard]] std::string command(const std::string& src, const std::string& dst,
                                    const std::string& more) const {
    std::string text = "ip xfrm state add src " + src + " dst " + dst + " proto esp spi " +
                       std::to_string(spi) + " mode tunnel reqid 1 ";
    if (gcm) {
      text += "aead rfc4106(gcm(aes)) 0x" + to_hex(cipher_key) + to_hex(salt) + " 128 ";
    } else {
      text += "enc cbc(aes) 0x" + to_hex(cipher_key) + " auth-trunc " +
              (sha256 ? "hmac(sha256) 0x" : "hmac(sha1) 0x") + to_hex(auth_key) +
              (sha256 ? " 128 " : " 96 ");
    }
    if (esn) text += "flag esn ";
    return text + more + "\n";
  }
};

inline void append_be32(Bytes& to, std::uint64_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<std::uint8_t>(v >> shift));
}

namespace reference {

inline Bytes gcm(const ReferenceSa& sa, bool encrypts, const Bytes& iv, const Bytes& aad,
                 const Bytes& input, Bytes& tag, bool& tag_ok) {
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  const EVP_CIPHER* const cipher =
      sa.cipher_key.size() == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
  Bytes nonce = sa.salt;
  nonce.insert(nonce.end(), iv.begin(), iv.end());
  EVP_CipherInit_ex(context, cipher, nullptr, sa.cipher_key.data(), nonce.data(), encrypts);
  int n = 0;
  EVP_CipherUpdate(context, nullptr, &n, aad.data(), static_cast<int>(aad.size()));
  Bytes output(input.size() + 16);
  EVP_CipherUpdate(context, output.data(), &n, input.data(), static_cast<int>(input.size()));
  output.resize(static_cast<std::size_t>(n));
  if (!encrypts)
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, static_cast<int>(tag.size()), tag.data());
  std::uint8_t rest[16];
  tag_ok = EVP_CipherFinal_ex(context, rest, &n) == 1;
  if (encrypts) {
    tag.resize(16);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, tag.data());
  }
  EVP_CIPHER_CTX_free(context);
  return output;
}

inline Bytes cbc(const ReferenceSa& sa, bool encrypts, const Bytes& iv, const Bytes& input) {
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  const EVP_CIPHER* const cipher =
      sa.cipher_key.size() == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
  EVP_CipherInit_ex(context, cipher, nullptr, sa.cipher_key.data(), iv.data(), encrypts);
  EVP_CIPHER_CTX_set_padding(context, 0);
  Bytes output(input.size() + 16);
  int n = 0;
  EVP_CipherUpdate(context, output.data(), &n, input.data(), static_cast<int>(input.size()));
  output.resize(static_cast<std::size_t>(n));
  EVP_CIPHER_CTX_free(context);
  return output;
}

inline Bytes hmac(const ReferenceSa& sa, const Bytes& message) {
  Bytes tag(EVP_MAX_MD_SIZE);
  unsigned n = 0;
  HMAC(sa.sha256 ? EVP_sha256() : EVP_sha1(), sa.auth_key.data(),
       static_cast<int>(sa.auth_key.size()), message.data(), message.size(), tag.data(), &n);
  tag.resize(sa.icv_bytes());
  return tag;
}

inline Bytes aad(const ReferenceSa& sa, std::uint64_t sequence) {
  Bytes bytes;
  append_be32(bytes, sa.spi);
  if (sa.esn) append_be32(bytes, sequence >> 32);
  append_be32(bytes, sequence);
  return bytes;
}

}  // namespace reference

/// Seals what lies between IV and ICV as it is: trailer and all.
inline Bytes reference_seal_raw(const ReferenceSa& sa, std::uint64_t sequence, const Bytes& iv,
                                const Bytes& plain) {
  Bytes esp;
  append_be32(esp, sa.spi);
  append_be32(esp, sequence);
  esp.insert(esp.end(), iv.begin(), iv.end());
  Bytes tag;
  bool ok = false;
  const Bytes sealed =
      sa.gcm ? reference::gcm(sa, true, iv, reference::aad(sa, sequence), plain, tag, ok)
             : reference::cbc(sa, true, iv, plain);
  esp.insert(esp.end(), sealed.begin(), sealed.end());
  if (!sa.gcm) {
    Bytes message = esp;
    if (sa.esn) append_be32(message, sequence >> 32);
    tag = reference::hmac(sa, message);
  }
  esp.insert(esp.end(), tag.begin(), tag.end());
  return esp;
}

/// The trailer of RFC 4303 section 2.4 with this much padding beyond what is needed.
inline Bytes with_trailer(const ReferenceSa& sa, Bytes inner, std::uint8_t next_header,
                          std::size_t more = 0) {
  std::size_t pad = (sa.block() - (inner.size() + 2) % sa.block()) % sa.block() + more * sa.block();
  for (std::size_t i = 1; i <= pad; ++i) inner.push_back(static_cast<std::uint8_t>(i));
  inner.push_back(static_cast<std::uint8_t>(pad));
  inner.push_back(next_header);
  return inner;
}

/// Opens an ESP packet: the sealed part with its trailer; nullopt if the ICV is wrong.
inline std::optional<Bytes> reference_open_raw(const ReferenceSa& sa, std::uint64_t sequence,
                                               const Bytes& esp) {
  const auto at = [&](std::size_t n) { return esp.begin() + static_cast<std::ptrdiff_t>(n); };
  const std::size_t head = 8 + sa.iv_bytes();
  const std::size_t icv_at = esp.size() - sa.icv_bytes();
  const Bytes iv(at(8), at(head));
  const Bytes sealed(at(head), at(icv_at));
  Bytes tag(at(icv_at), esp.end());
  if (sa.gcm) {
    bool ok = false;
    const Bytes plain =
        reference::gcm(sa, false, iv, reference::aad(sa, sequence), sealed, tag, ok);
    return ok ? std::optional(plain) : std::nullopt;
  }
  Bytes message(esp.begin(), at(icv_at));
  if (sa.esn) append_be32(message, sequence >> 32);
  if (reference::hmac(sa, message) != tag) return std::nullopt;
  return reference::cbc(sa, false, iv, sealed);
}

}  // namespace hb::test
