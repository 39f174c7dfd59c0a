// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests;

/// <summary>Makes the device under test the default of all tests.</summary>
[SetUpFixture]
public sealed class TestSetup
{
    [OneTimeSetUp]
    public void SetDevice() => Device.Default = TestDevice.Current;
}
