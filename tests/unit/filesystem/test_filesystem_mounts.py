"""Which file systems anybody between here and the disk could read along on."""

from pathlib import Path

import pytest

from connectors.filesystem import mounts

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv/plain rw - nfs4 nas:/x rw,vers=4.2,sec=sys,addr=10.0.0.5
31 22 0:41 / /srv/kerberos rw - nfs4 nas:/x rw,vers=4.2,sec=krb5p,addr=10.0.0.5
32 22 0:42 / /srv/tls rw - nfs4 nas:/x rw,xprtsec=tls,addr=10.0.0.5
33 22 0:43 / /srv/smb rw - cifs //nas/x rw,vers=3.1.1,addr=10.0.0.5
34 22 0:44 / /srv/sealed rw - cifs //nas/x rw,vers=3.1.1,seal,addr=10.0.0.5
35 22 0:45 / /srv/loopback rw - nfs4 localhost:/x rw,sec=sys,addr=127.0.0.1
36 22 0:46 / /srv/with\\040space rw - nfs4 nas:/x rw,sec=sys,addr=10.0.0.5
37 30 8:2 / /srv/plain/disk rw - ext4 /dev/sdb1 rw
broken line
""".splitlines()


@pytest.mark.parametrize(
    ("path", "private"),
    [
        ("/srv/local", True),
        ("/srv/plain", False),
        ("/srv/plain/deep/er", False),
        ("/srv/plainer", True),
        ("/srv/plain/disk/x", True),
        ("/srv/kerberos/x", True),
        ("/srv/tls", True),
        ("/srv/smb", False),
        ("/srv/sealed", True),
        ("/srv/loopback", True),
        ("/srv/with space/x", False),
    ],
)
def test_network_file_systems_must_be_encrypted(path: str, private: bool) -> None:
    mount = mounts.find(Path(path), mounts.parse(TABLE))
    assert mount is not None
    assert mount.encrypted_in_transit is private


def test_this_machine_says_something(tmp_path: Path) -> None:
    mount = mounts.of(tmp_path)
    assert mount is None or mount.point.startswith("/")
