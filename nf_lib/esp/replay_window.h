// Which sequence numbers of an SA have come: RFC 4303 section 3.4.3 and appendix A.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

namespace hb::ipsec {

/// A window of up to 4096 numbers that outlives its process. Each word carries the number of the
/// block whose bits it holds, so that moving on clears nothing: a word of another block is empty
/// (older) or past (newer). Each change is one store of one word, and a packet is marked before it
/// is passed on; so a process killed between two stores never lets a number through twice. One
/// writer at a time; zero bytes are the empty window. Blocks are compared by 32 bits: a peer that
/// skips 2^36 numbers has packets refused that may be new, none let through twice.
class ReplayWindow {
 public:
  static constexpr std::uint32_t kBlockBits = 32;
  /// Twice the largest window: a block of the window never shares its word with another one.
  static constexpr std::uint32_t kWords = 256;
  static constexpr std::uint32_t kMaxSize = 4096;

  /// The full number of which the packet holds the low half: appendix A2.
  /// @param size  1..kMaxSize
  /// @return nullopt if that would lie before the first number
  [[nodiscard]] std::optional<std::uint64_t> infer(std::uint32_t low,
                                                   std::uint32_t size) const noexcept {
    const std::uint64_t top = top_.load(std::memory_order_relaxed);
    const auto top_low = static_cast<std::uint32_t>(top);
    auto high = static_cast<std::uint32_t>(top >> 32);
    const std::uint32_t bottom = top_low - size + 1;
    if (top_low >= size - 1) {  // the window lies in one subspace
      if (low < bottom) ++high;
      if (low < bottom && high == 0) return std::nullopt;  // past the last number
    } else if (low >= bottom) {
      if (high == 0) return std::nullopt;
      --high;
    }
    return std::uint64_t{high} << 32 | low;
  }

  /// Whether a packet of that number may be new: it is not left of the window and was not marked.
  [[nodiscard]] bool may_pass(std::uint64_t sequence, std::uint32_t size) const noexcept {
    const std::uint64_t top = top_.load(std::memory_order_relaxed);
    if (sequence == 0) return false;
    if (sequence > top) return true;
    if (top - sequence >= size) return false;
    const std::uint64_t word = words_[index(sequence)].load(std::memory_order_relaxed);
    const std::int32_t age = block_age(word, sequence);
    if (age != 0) return age < 0;
    return (word >> (sequence % kBlockBits) & 1) == 0;
  }

  /// Marks a number as come. After the packet's ICV was found right.
  /// @return false if it may not pass
  bool mark(std::uint64_t sequence, std::uint32_t size) noexcept {
    if (!may_pass(sequence, size)) return false;
    std::atomic<std::uint64_t>& word = words_[index(sequence)];
    const std::uint64_t before = word.load(std::memory_order_relaxed);
    const std::uint64_t bits = block_age(before, sequence) == 0 ? before & 0xffffffff : 0;
    const std::uint64_t block = sequence / kBlockBits & 0xffffffff;
    // Release, both: in this order, which the compiler must keep too.
    word.store(block << 32 | bits | std::uint64_t{1} << (sequence % kBlockBits),
               std::memory_order_release);
    if (sequence > top_.load(std::memory_order_relaxed))
      top_.store(sequence, std::memory_order_release);
    return true;
  }

  /// All numbers up to this one count as come. Never moves back.
  void start_after(std::uint64_t sequence) noexcept {
    if (sequence <= top_.load(std::memory_order_relaxed)) return;
    // Bits of the blocks that the window can still reach, set from the oldest on.
    const std::uint64_t last = sequence / kBlockBits;
    const std::uint64_t first = last < kWords / 2 ? 0 : last - kWords / 2;
    for (std::uint64_t block = first; block <= last; ++block) {
      const std::uint64_t bits =
          block < last ? 0xffffffff : (std::uint64_t{2} << (sequence % kBlockBits)) - 1;
      words_[block % kWords].store((block & 0xffffffff) << 32 | bits, std::memory_order_release);
    }
    top_.store(sequence, std::memory_order_release);
  }

  [[nodiscard]] std::uint64_t top() const noexcept { return top_.load(std::memory_order_relaxed); }

 private:
  static std::size_t index(std::uint64_t sequence) noexcept {
    return sequence / kBlockBits % kWords;
  }
  /// Below 0: the word holds an older block, 0: this one, above 0: a newer one.
  static std::int32_t block_age(std::uint64_t word, std::uint64_t sequence) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(word >> 32) -
                                     static_cast<std::uint32_t>(sequence / kBlockBits));
  }

  std::atomic<std::uint64_t> top_{0};  ///< the highest number that has come
  std::array<std::atomic<std::uint64_t>, kWords> words_{};
};

}  // namespace hb::ipsec
