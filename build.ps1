# SPDX-License-Identifier: MIT
# Builds, runs and tests Mezzo with the verbs of build.sh: build run test gen fmt check bench pack gpu-bundle gpu.
# On Linux and macOS it hands over to build.sh. On Windows the native library and everything that needs it is
# built under WSL; the managed projects build and format here.
[CmdletBinding(PositionalBinding = $false)]
param([Parameter(ValueFromRemainingArguments)] [string[]] $Arguments = @())

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

if (-not ($PSVersionTable.PSEdition -eq 'Desktop' -or $IsWindows)) {
    & ./build.sh @Arguments
    exit $LASTEXITCODE
}

$verb = if ($Arguments.Count -gt 0) { $Arguments[0] } else { '' }
switch ($verb) {
    'build' {
        Write-Host 'Windows: building the managed projects only; the native library is built for Linux (use WSL).'
        dotnet build Engine.sln -c Release
    }
    'gen' { dotnet run --project bindings/generator -c Release }
    'fmt' { dotnet format Engine.sln; dotnet format benchmarks/checkpoint }
    { $_ -in 'run', 'test', 'check', 'bench', 'pack', 'gpu-bundle', 'gpu' } {
        [Console]::Error.WriteLine("build.ps1: '$verb' needs the native library, which is built for Linux: run ./build.sh $verb under WSL.")
        exit 1
    }
    default {
        if ($verb) { [Console]::Error.WriteLine("build.ps1: unknown verb '$verb'.") }
        Write-Host 'Usage: ./build.ps1 build|run|test|gen|fmt|check|bench|pack|gpu-bundle|gpu'
        Write-Host 'On Windows build, gen and fmt work; the others run under WSL with ./build.sh.'
        exit $(if ($verb) { 2 } else { 0 })
    }
}
exit $LASTEXITCODE
