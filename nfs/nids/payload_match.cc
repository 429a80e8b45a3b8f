#include "nfs/nids/payload_match.h"

#include <algorithm>

#include "nfs/nids/byte_value.h"
#include "nfs/nids/content_search.h"

namespace hb::nids {
namespace {

/// Places from which one relative pcre is tried in one packet: more than a frame of 1500 bytes has.
constexpr std::size_t kMaxPcreStarts = 4096;

/// How a step deals with the place that those before it have reached.
struct PlaceUse {
  bool reads = false;   ///< what it does depends on the place
  bool writes = false;  ///< it sets a new one, whatever the old one was
};

PlaceUse place_use(const PayloadStep& step) noexcept {
  if (const auto* const content = std::get_if<Content>(&step)) {
    if (content->is_relative()) return {.reads = true, .writes = false};
    return {.reads = false, .writes = !content->negated && !content->fast_only};
  }
  if (const auto* const test = std::get_if<ByteTest>(&step)) {
    return {.reads = test->field.relative, .writes = false};
  }
  if (const auto* const jump = std::get_if<ByteJump>(&step)) {
    return {.reads = jump->field.relative, .writes = !jump->field.relative};
  }
  if (const auto* const at = std::get_if<IsDataAt>(&step)) {
    return {.reads = at->relative, .writes = false};
  }
  const Pcre& pcre = std::get<Pcre>(step);
  return {.reads = pcre.relative, .writes = !pcre.relative && !pcre.negated};
}

/// Whether any of the steps needs to know the place that is reached before them.
bool place_matters(std::span<const PayloadStep> steps) noexcept {
  for (const PayloadStep& step : steps) {
    const PlaceUse use = place_use(step);
    if (use.reads) return true;
    if (use.writes) return false;
  }
  return false;
}

}  // namespace

/// One call of steps_match. Each try_step() replaces the set of places; none left: no match.
class PayloadMatch {
 public:
  PayloadMatch(std::span<const std::uint8_t> bytes, PayloadScratch& scratch) noexcept
      : bytes_(bytes),
        places_(scratch.places_),
        next_(scratch.next_),
        pcre_(scratch.pcre_),
        n_given_up_(scratch.n_given_up_) {
    places_.assign(1, 0);
  }

  /// @param all  the places that the step reaches are needed; otherwise only whether there is one
  bool try_step(const PayloadStep& step, bool all) noexcept {
    return std::visit([&](const auto& s) { return try_one(s, all); }, step);
  }

 private:
  struct Window {
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  /// Where a content may lie whose steps before have reached `place`.
  [[nodiscard]] Window window_of(const Content& content, std::size_t place) const noexcept {
    const std::size_t size = bytes_.size();
    if (!content.is_relative()) {
      const std::size_t begin = content.offset;
      const std::size_t end = content.depth != 0 ? begin + content.depth : size;
      return {begin, std::min(end, size)};
    }
    const auto from = static_cast<std::int64_t>(place) + std::int64_t{content.distance};
    const std::int64_t end =
        content.within != 0 ? from + std::int64_t{content.within} : static_cast<std::int64_t>(size);
    return {static_cast<std::size_t>(std::max<std::int64_t>(from, 0)),
            static_cast<std::size_t>(
                std::clamp<std::int64_t>(end, 0, static_cast<std::int64_t>(size)))};
  }

  /// The first occurrence in the window, or kNotFound.
  [[nodiscard]] std::size_t find(const Content& content, const Window& window) const noexcept {
    const std::size_t size = bytes_.size();
    const std::size_t bytes = content.bytes.size();
    if (!content.ends_with) return find_content(bytes_, window.begin, window.end, content);
    if (window.end != size || bytes > size || window.begin > size - bytes) return kNotFound;
    return find_content(bytes_, size - bytes, size, content);
  }

  bool try_one(const Content& content, bool all) noexcept {
    if (content.fast_only) return find_content(bytes_, 0, bytes_.size(), content) != kNotFound;
    if (content.negated) return keep_without(content);
    next_.clear();
    if (content.ends_with) {
      const std::size_t n = content.is_relative() ? places_.size() : 1;
      for (std::size_t i = 0; i < n && next_.empty(); ++i) {
        const std::size_t at = find(content, window_of(content, places_[i]));
        if (at != kNotFound) next_.push_back(static_cast<std::uint32_t>(bytes_.size()));
      }
    } else {
      find_all(content, all);
    }
    return take_next();
  }

  /// Appends to next_ where occurrences end that lie in some place's window: one pass.
  void find_all(const Content& content, bool all) noexcept {
    const std::size_t n = content.is_relative() ? places_.size() : 1;
    const std::size_t end = window_of(content, places_[n - 1]).end;  // windows move on with places
    std::size_t i = 0;
    std::size_t from = window_of(content, places_[0]).begin;
    while (true) {
      const std::size_t at = find_content(bytes_, from, end, content);
      if (at == kNotFound) return;
      // Of the windows that have begun by then, the last one ends last.
      while (i + 1 < n && window_of(content, places_[i + 1]).begin <= at) ++i;
      if (at + content.bytes.size() <= window_of(content, places_[i]).end) {
        next_.push_back(static_cast<std::uint32_t>(at + content.bytes.size()));
        if (!all) return;
      }
      from = at + 1;
    }
  }

  /// Keeps the places in whose window a negated content does not lie: one pass.
  bool keep_without(const Content& content) noexcept {
    if (content.ends_with || !content.is_relative()) {
      return keep_if(
          [&](std::size_t place) { return find(content, window_of(content, place)) == kNotFound; },
          content.is_relative());
    }
    const std::size_t end = window_of(content, places_.back()).end;
    std::size_t at = 0;  // the first occurrence from there on
    bool searched = false;
    return keep_if(
        [&](std::size_t place) {
          const Window window = window_of(content, place);
          if (!searched || (at != kNotFound && at < window.begin)) {
            searched = true;
            at = find_content(bytes_, window.begin, end, content);
          }
          return at == kNotFound || at + content.bytes.size() > window.end;
        },
        true);
  }

  bool try_one(const ByteTest& test, bool /*all*/) noexcept {
    return keep_if([&](std::size_t place) { return byte_test_matches(bytes_, place, test); },
                   test.field.relative);
  }

  bool try_one(const IsDataAt& test, bool /*all*/) noexcept {
    return keep_if([&](std::size_t place) { return data_is_at(bytes_, place, test); },
                   test.relative);
  }

  bool try_one(const ByteJump& jump, bool /*all*/) noexcept {
    next_.clear();
    const std::size_t n = jump.field.relative ? places_.size() : 1;
    for (std::size_t i = 0; i < n; ++i) {
      if (const auto place = byte_jump_place(bytes_, places_[i], jump)) {
        next_.push_back(static_cast<std::uint32_t>(*place));
      }
    }
    sort_next();
    return take_next();
  }

  bool try_one(const Pcre& pcre, bool all) noexcept {
    bool gave_up = false;
    if (pcre.negated) {
      const bool kept = keep_if(
          [&](std::size_t place) {
            PcrePattern::Span found;
            const auto outcome = pcre.pattern->match(subject(pcre, place), 0, pcre_, found);
            gave_up |= outcome == PcrePattern::Outcome::kGivenUp;
            return outcome == PcrePattern::Outcome::kNoMatch;
          },
          pcre.relative);
      n_given_up_ += gave_up;
      return kept && !gave_up;
    }
    next_.clear();
    const std::size_t n = pcre.relative ? places_.size() : 1;
    std::size_t n_starts = 0;
    for (std::size_t i = 0; i < n && !gave_up; ++i) {
      const std::size_t base = pcre.relative ? places_[i] : 0;
      const auto bytes = subject(pcre, base);
      for (std::size_t from = 0; from <= bytes.size();) {
        PcrePattern::Span found;
        const auto outcome = pcre.pattern->match(bytes, from, pcre_, found);
        gave_up = outcome == PcrePattern::Outcome::kGivenUp || ++n_starts > kMaxPcreStarts;
        if (gave_up || outcome == PcrePattern::Outcome::kNoMatch) break;
        if (next_.size() == next_.capacity()) sort_next();
        next_.push_back(static_cast<std::uint32_t>(base + found.end));
        if (!all) return take_next();
        // As Suricata: the next try starts one byte behind the last match's start.
        from = std::max(from, found.begin) + 1;
      }
    }
    n_given_up_ += gave_up;
    if (gave_up) return false;
    sort_next();
    return take_next();
  }

  [[nodiscard]] std::span<const std::uint8_t> subject(const Pcre& pcre,
                                                      std::size_t place) const noexcept {
    return pcre.relative ? bytes_.subspan(place) : bytes_;
  }

  /// Keeps the places that hold; of a step that does not look at the place, all or none.
  template <typename Holds>
  bool keep_if(Holds holds, bool looks_at_place) noexcept {
    if (!looks_at_place) return holds(std::size_t{0});
    std::erase_if(places_, [&](std::uint32_t place) { return !holds(place); });
    return !places_.empty();
  }

  void sort_next() noexcept {
    std::sort(next_.begin(), next_.end());
    next_.erase(std::unique(next_.begin(), next_.end()), next_.end());
  }

  bool take_next() noexcept {
    std::swap(places_, next_);
    return !places_.empty();
  }

  std::span<const std::uint8_t> bytes_;
  std::vector<std::uint32_t>& places_;
  std::vector<std::uint32_t>& next_;
  PcreScratch& pcre_;
  std::uint64_t& n_given_up_;
};

Result<PayloadScratch> PayloadScratch::make() {
  PayloadScratch scratch;
  // Every place, and as many again before repeated ones are thrown out.
  scratch.places_.reserve(2 * (kMaxBufferBytes + 1));
  scratch.next_.reserve(2 * (kMaxBufferBytes + 1));
  Result<PcreScratch> pcre = PcreScratch::make();
  if (!pcre) return pcre.error();
  scratch.pcre_ = std::move(*pcre);
  return scratch;
}

bool steps_match(std::span<const PayloadStep> steps, std::span<const std::uint8_t> bytes,
                 PayloadScratch& scratch) noexcept {
  bytes = bytes.first(std::min(bytes.size(), kMaxBufferBytes));
  PayloadMatch match(bytes, scratch);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (!match.try_step(steps[i], place_matters(steps.subspan(i + 1)))) return false;
  }
  return true;
}

}  // namespace hb::nids
