@rem SPDX-License-Identifier: MIT
@rem For Windows, which reads no first lines.
@if exist "%~dp0python.exe" ("%~dp0python.exe" -m errtrack_run %*) else ("%~dp0..\python.exe" -m errtrack_run %*)
