#include "controlplane/keyserver/similar_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sealcast::keyserver {
namespace {

using ::testing::ElementsAre;

TEST(SimilarNames, H28_WhatAnOperatorMayHaveMeantTheClosestFirst) {
  const std::set<std::string> known{"home", "homer", "studio", "studio.example", "van-1", "van-2", "van-3"};
  EXPECT_THAT(similar_names("Home", known), ElementsAre("home", "homer"));
  EXPECT_THAT(similar_names("studoi", known), ElementsAre("studio"));
  EXPECT_THAT(similar_names("studio.other", known), ElementsAre("studio", "studio.example"));
  EXPECT_THAT(similar_names("van-9", known, 2), ElementsAre("van-1", "van-2"));
  EXPECT_THAT(similar_names("mallory", known), ElementsAre());
  EXPECT_THAT(similar_names("", {}), ElementsAre());
}

}  // namespace
}  // namespace sealcast::keyserver
