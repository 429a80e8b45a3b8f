#include "manager/route_change.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace hb {
namespace {

constexpr std::uint32_t kA = 0, kB = 1, kC = 2;
constexpr std::uint32_t kDefault = 0, kWeb = 1, kDns = 2, kTypes = 3;
constexpr std::uint64_t kNone = ~std::uint64_t{0} << kTypes;  // of the types that exist
constexpr std::uint64_t bit(std::uint32_t n) { return std::uint64_t{1} << n; }

/// default: rx -> tx; web: rx -> a -> b -> tx; dns: rx -> c -> tx.
class RouteChangeTest : public ::testing::Test {
 protected:
  RouteChangeTest() {
    for (std::uint32_t s = 0; s < 3; ++s) {
      before_->targets[s].n = 1;
      before_->targets[s].endpoint[0] = static_cast<std::uint16_t>(10 + s);
    }
    before_->next[kDefault][kRxRow] = kTx;
    before_->next[kWeb][kRxRow] = service(kA);
    before_->next[kWeb][kA] = service(kB);
    before_->next[kWeb][kB] = kTx;
    before_->next[kDns][kRxRow] = service(kC);
    before_->next[kDns][kC] = kTx;
    *after_ = *before_;
    nfs_.assign(3, {.sets_types = 0, .names = 0});
  }
  static Hop service(std::uint32_t id) { return make_hop(HopKind::kService, id); }
  [[nodiscard]] std::uint64_t affected() const {
    return affected_types(*before_, *after_, nfs_, kTypes);
  }

  static constexpr Hop kTx = make_hop(HopKind::kPeerPort, 0);
  std::unique_ptr<RouteTable> before_ = std::make_unique<RouteTable>();
  std::unique_ptr<RouteTable> after_ = std::make_unique<RouteTable>();
  std::vector<SteeringNf> nfs_;
};

TEST_F(RouteChangeTest, TheSameTableAffectsNobody) { EXPECT_EQ(affected(), kNone); }

TEST_F(RouteChangeTest, AChangedHopAffectsTheTypesThatComeThere) {
  after_->next[kWeb][kB] = service(kC);
  EXPECT_EQ(affected(), kNone | bit(kWeb));
}

TEST_F(RouteChangeTest, AHopThatNobodyComesToAffectsNobody) {
  after_->next[kDns][kA] = service(kC);
  after_->next[kDefault][kB] = kTx;
  EXPECT_EQ(affected(), kNone);
}

TEST_F(RouteChangeTest, OtherEndpointsOfAServiceAffectItsTypes) {
  after_->targets[kC].endpoint[0] = 99;
  EXPECT_EQ(affected(), kNone | bit(kDns));
  after_->targets[kC] = before_->targets[kC];
  after_->targets[kB].n = 2;
  EXPECT_EQ(affected(), kNone | bit(kWeb));
  after_->targets[kB] = before_->targets[kB];
  after_->targets[kB].endpoint[5] = 7;  // beyond n
  EXPECT_EQ(affected(), kNone);
}

TEST_F(RouteChangeTest, AnNfThatSetsTypesLeadsToTheirRoutes) {
  nfs_[kA].sets_types = bit(kDns);
  after_->next[kDns][kB] = service(kC);  // web, made dns by a, goes on at a
  EXPECT_EQ(affected(), kNone);
  before_->next[kDns][kA] = after_->next[kDns][kA] = service(kB);
  EXPECT_EQ(affected(), kNone | bit(kWeb));
}

TEST_F(RouteChangeTest, AnNfThatNamesServicesLeadsThere) {
  nfs_[kB].names = bit(kC);
  after_->next[kWeb][kC] = kTx;
  EXPECT_EQ(affected(), kNone | bit(kWeb));
}

TEST_F(RouteChangeTest, AnNfThatDeclaresNothingMayDoAnything) {
  nfs_.resize(2);  // of c nothing is known
  after_->next[kDefault][kB] = service(kA);
  EXPECT_EQ(affected(), kNone | bit(kDns));
}

TEST_F(RouteChangeTest, ASearchEndsInACircle) {
  before_->next[kWeb][kB] = after_->next[kWeb][kB] = service(kA);
  EXPECT_EQ(affected(), kNone);
  EXPECT_EQ(services_on_path(*before_)[kWeb], bit(kA) | bit(kB));
}

TEST_F(RouteChangeTest, PathsAreThoseOfTheRoutes) {
  const auto path = services_on_path(*before_);
  EXPECT_EQ(path[kDefault], 0u);
  EXPECT_EQ(path[kWeb], bit(kA) | bit(kB));
  EXPECT_EQ(path[kDns], bit(kC));
}

}  // namespace
}  // namespace hb
