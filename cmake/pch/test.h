// Precompiled for GoogleTest programs without gRPC and LibTorch.
#pragma once

#include <cmake/pch/base.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
