// Precompiled for GoogleTest programs that speak gRPC.
#pragma once

#include <cmake/pch/rpc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
