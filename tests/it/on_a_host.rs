//! Services of a whole host: a real systemd as PID 1, with users, logins,
//! lingering and reboots.

use serde_json::Value;

use super::twin::Twin;

const HUB: &str = "
    heph-ops seed --owner-id me --to /var/lib/heph/heph.db >/dev/null
    drop_in RestartSec=100ms TimeoutAbortSec=100ms
    hub --create-user
";

fn status(document: &Value) -> &str {
    document["status"].as_str().unwrap_or_default()
}

fn code(document: &Value) -> &str {
    document["error"]["code"].as_str().unwrap_or_default()
}

/// The services that `status` shows, by label.
fn service<'a>(document: &'a Value, label: &str) -> &'a Value {
    let all = document["data"]["services"].as_array().unwrap_or_else(|| panic!("{document}"));
    all.iter().find(|one| one["label"] == label).unwrap_or_else(|| panic!("{document}"))
}

#[test]
fn a_hub_and_a_device_of_the_machine_sync_under_strict_and_come_back_after_a_reboot() {
    let twin = Twin::new();
    let said = twin.documents(&format!(
        "{HUB}
        spoke --run-as heph --db /var/lib/heph-spoke/heph.db --hub-url http://127.0.0.1:8787 --wait-synced
        runuser -u heph -- heph --socket /var/lib/heph-spoke/hephd.sock task add 'from the device' >/dev/null
        ops status --wait 20 --for equal
        ops backup heph-hub --to /var/backups/heph
        property heph-hub User
        property heph-hub ProtectSystem
        systemd-analyze security heph-hub --threshold=15 >/dev/null && echo true
        systemd-analyze verify /etc/systemd/system/heph-*.service 2>&1 | jq --raw-input ."
    ));
    assert_eq!((status(&said[0]), status(&said[1])), ("installed", "installed"));
    assert_eq!(status(&said[2]), "ok", "{}", said[2]);
    assert_eq!(status(&said[3]), "backed_up");
    assert_eq!((&said[4], &said[5], &said[6]), (&"heph".into(), &"strict".into(), &true.into()));
    assert_eq!(said.len(), 7, "systemd has something to say: {:?}", &said[7..]);
    twin.reboot();
    let said = twin.documents("ops status --wait 20 --for equal");
    assert_eq!(status(&said[0]), "ok", "{}", said[0]);
    assert!(service(&said[0], "heph-spoke")["pid"].is_u64());
}

#[test]
fn what_is_unchanged_is_left_alone_and_what_breaks_is_put_back() {
    let twin = Twin::new();
    let mut said = twin.documents(&format!(
        "{HUB}
        property heph-hub MainPID
        hub
        property heph-hub MainPID
        hub --http-addr 127.0.0.1:9001 --log-format json
        hub --owner-sub s --oidc-issuer https://id.example --oidc-audience heph
        property heph-hub ExecStart
        printf '#!/bin/sh\\nexit 1\\n' >/usr/local/bin/broken
        chmod +x /usr/local/bin/broken
        hub --bin /usr/local/bin/broken
        hub --bin /bin/true
        hub --owner-id somebody-else
        systemd-run --quiet --unit squatter python3 -m http.server 9002 --bind 127.0.0.1
        until_ bash -c '>/dev/tcp/127.0.0.1/9002'
        hub --http-addr 127.0.0.1:9002
        systemctl stop squatter
        ops status
        mkdir /mnt/away; mv /var/lib/heph/* /mnt/away/
        hub --log-format text
        mv /mnt/away/* /var/lib/heph/
        ops restart heph-hub --settle-ms 100"
    ));
    assert_eq!((status(&said[0]), status(&said[2])), ("installed", "already_installed"));
    assert_eq!(said[1], said[3], "the same process");
    assert_eq!((status(&said[4]), status(&said[5])), ("updated", "updated"));
    let line = said[6].as_str().unwrap();
    assert!(line.contains("127.0.0.1:9001") && line.contains("--log-format"), "{line}");
    assert!(line.contains("--owner-sub"), "{line}");
    assert_eq!(code(&said[7]), "crash_loop", "{}", said[7]);
    let message = said[7]["error"]["message"].as_str().unwrap();
    assert!(message.contains("put back, and it runs"), "{message}");
    assert_eq!(code(&said[8]), "crash_loop", "it never says that it is ready: {}", said[8]);
    let refused = said.remove(9);
    assert!(
        refused["error"]["message"].as_str().unwrap().contains("put back, and it runs"),
        "{refused}"
    );
    assert_eq!(code(&said[9]), "port_in_use", "{}", said[9]);
    assert!(said[9]["error"]["message"].as_str().unwrap().contains("python3"), "{}", said[9]);
    let hint = said[9]["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("sudo systemctl stop squatter.service"), "{hint}");
    assert_eq!(service(&said[10], "heph-hub")["address"], "127.0.0.1:9001", "{}", said[10]);
    assert_eq!(code(&said[11]), "store_missing", "{}", said[11]);
    assert_eq!(status(&said[12]), "restarted", "{}", said[12]);
}

#[test]
fn killed_and_hung_daemons_come_back_and_a_crash_loop_is_seen_between_crashes() {
    let twin = Twin::new();
    let said = twin.documents(&format!(
        "{HUB}
        drop_in RestartSec=100ms TimeoutAbortSec=100ms WatchdogSec=1
        ops restart heph-hub --settle-ms 100
        property heph-hub MainPID
        kill -9 $(systemctl show heph-hub --property MainPID --value)
        ops status --wait 20
        kill -STOP $(systemctl show heph-hub --property MainPID --value)
        until_ bash -c '[ $(systemctl show heph-hub --property NRestarts --value) -ge 2 ]'
        ops status --wait 20
        hub
        ls /etc/systemd/system/heph-hub.service.d | jq --raw-input .
        ops stop heph-hub
        mv /var/lib/heph/heph.db /var/lib/heph/away.db
        ops start heph-hub --settle-ms 100
        mv /var/lib/heph/away.db /var/lib/heph/heph.db
        ops start heph-hub --settle-ms 100
        ops uninstall-service heph-hub
        ls /var/lib/heph/heph.db | jq --raw-input .
        property heph-hub LoadState"
    ));
    assert_eq!(status(&said[1]), "restarted", "{}", said[1]);
    assert_eq!((status(&said[3]), status(&said[4])), ("ok", "ok"), "{} {}", said[3], said[4]);
    assert_ne!(service(&said[3], "heph-hub")["pid"], said[2]);
    assert_eq!(status(&said[5]), "already_installed", "{}", said[5]);
    assert_eq!(said[6], "mine.conf", "a drop-in is the person's");
    assert_eq!(status(&said[7]), "stopped");
    assert_eq!(code(&said[8]), "not_ready", "exit 4 is not tried again: {}", said[8]);
    assert_eq!((status(&said[9]), status(&said[10])), ("started", "uninstalled"));
    assert_eq!((&said[11], said.len()), (&"/var/lib/heph/heph.db".into(), 13), "{said:?}");
}

#[test]
fn a_persons_services_outlive_the_login_and_the_boot_where_lingering_is_on() {
    let twin = Twin::new();
    twin.run("useradd --create-home ann; useradd --create-home bob");
    // polkit lets people turn it on for themselves.
    let said = twin.documents_as("ann", "spoke");
    assert_eq!(status(&said[0]), "installed", "{}", said[0]);
    assert_eq!(said[0]["warnings"], serde_json::json!([]));
    let said = twin.documents("ls /var/lib/systemd/linger | jq --raw-input .");
    assert_eq!(said[0], "ann");
    twin.reboot();
    // From su and from cron nobody names the runtime folder.
    let said = twin.documents(
        "until_ [ -S /run/user/$(id -u ann)/systemd/private ]
        su ann -c 'heph-ops status --wait 20 --json'
        setpriv --reuid ann --regid ann --clear-groups env -i HOME=/home/ann PATH=$PATH heph-ops status --json",
    );
    assert_eq!((status(&said[0]), status(&said[1])), ("ok", "ok"), "{} {}", said[0], said[1]);
    twin.documents_as("ann", "ops uninstall-service");
    assert_eq!(twin.run("ls /var/lib/systemd/linger"), "", "what we turned on is off again");

    // Where only root may, it runs as long as the login, and that is said.
    twin.run("systemctl mask --now polkit");
    let said = twin.documents_as("bob", "spoke");
    assert_eq!(status(&said[0]), "installed", "{}", said[0]);
    assert_eq!(said[0]["warnings"][0]["code"], "linger_off", "{}", said[0]);
    assert!(!twin.run("cat /home/bob/.config/heph/heph-spoke.toml").contains("enabled-linger"));
    twin.reboot();
    assert_eq!(twin.run("ls /run/user"), "", "nobody is logged in");
    let said = twin.documents_as("bob", "ops status --wait 20");
    assert_eq!(status(&said[0]), "ok", "{}", said[0]);
}

#[test]
fn root_installs_for_a_person_as_that_person() {
    let twin = Twin::new();
    let said = twin.documents(
        "useradd --create-home ann
        SUDO_USER=ann spoke --scope user
        spoke --scope user --run-as ann
        spoke --scope user --run-as ann
        stat --format '\"%U\"' /home/ann/.config/heph/heph-spoke.toml /home/ann/.local/share/heph/heph.db
        ls /etc/heph 2>/dev/null | jq --raw-input .
        su ann -c 'heph-ops uninstall-service --json'",
    );
    assert_eq!((code(&said[0]), said[0]["status"].as_str()), ("no_user_bus", Some("refused")));
    assert_eq!(
        (status(&said[1]), status(&said[2])),
        ("installed", "already_installed"),
        "{said:?}"
    );
    assert_eq!((&said[3], &said[4]), (&"ann".into(), &"ann".into()));
    assert_eq!((status(&said[5]), said.len()), ("uninstalled", 6), "{said:?}");
}

#[test]
fn what_somebody_else_put_in_the_way_is_refused_or_told() {
    let twin = Twin::new();
    let said = twin.documents(
        "heph-ops seed --owner-id me --to /var/lib/heph/heph.db >/dev/null
        printf '[Service]\\nExecStart=/bin/true\\n' >/usr/lib/systemd/system/heph-hub.service
        systemctl daemon-reload
        hub --create-user
        rm /usr/lib/systemd/system/heph-hub.service
        ln -s /dev/null /etc/systemd/system/heph-hub.service
        systemctl daemon-reload
        hub --create-user
        systemctl unmask heph-hub
        useradd --create-home ann
        cp /usr/local/bin/hephd /root/hephd
        hub --create-user --bin /root/hephd
        chown ann: /var/lib/heph/heph.db
        hub --run-as heph --create-user
        hub --run-as nobody-there
        hub --run-as ann --db /srv/none/heph.db
        chown root: /var/lib/heph/heph.db
        hub --create-user --backup-dir /var/tmp/backups
        mkdir /srv/roots
        hub --run-as ann --backup-dir /srv/roots
        hub --create-user --backup-dir /etc/passwd
        setpriv --reuid ann --regid ann --clear-groups env -i HOME=/home/ann PATH=$PATH \\
          heph-ops install-service --role spoke --scope system --json || true
        getent passwd heph | wc -l
        ls /etc/heph 2>/dev/null | wc -l",
    );
    assert_eq!(code(&said[0]), "unit_foreign", "{}", said[0]);
    assert_eq!(code(&said[1]), "unit_foreign", "{}", said[1]);
    assert!(said[1]["error"]["hint"].as_str().unwrap().contains("unmask"), "{}", said[1]);
    assert_eq!(code(&said[2]), "insecure_permissions", "root's home is shut: {}", said[2]);
    assert_eq!(code(&said[3]), "insecure_permissions", "it is ann's store: {}", said[3]);
    assert!(said[3]["error"]["hint"].as_str().unwrap().contains("chown"), "{}", said[3]);
    assert_eq!(code(&said[4]), "usage", "{}", said[4]);
    assert_eq!(code(&said[5]), "store_missing", "{}", said[5]);
    assert_eq!(code(&said[6]), "usage", "the unit has a /var/tmp of its own: {}", said[6]);
    assert_eq!(code(&said[7]), "insecure_permissions", "{}", said[7]);
    assert!(said[7]["error"]["hint"].as_str().unwrap().contains("chown ann:"), "{}", said[7]);
    assert_eq!(code(&said[8]), "usage", "a file is no folder: {}", said[8]);
    assert_eq!(code(&said[9]), "insecure_permissions", "{}", said[9]);
    assert_eq!((&said[10], &said[11]), (&0.into(), &0.into()), "nothing was touched");
}

/// As far as a Mac can be modelled: its hub is a daemon that needs no login.
#[test]
fn a_mac_without_a_screen_runs_its_hub_as_a_daemon_of_a_user() {
    let twin = Twin::new();
    let said = twin.documents(
        "export PATH=/opt/launchd:$PATH LAUNCHD_MODEL=/var/lib/launchd LAUNCHD_MODEL_SPEED=20
        useradd --create-home ann
        mkdir -p /Library/Logs /Library/LaunchDaemons
        heph-ops seed --owner-id me --to /Users/ann/heph/heph.db >/dev/null
        mac() { hub --manager launchd --run-as ann --db /Users/ann/heph/heph.db \"$@\"; }
        mac
        chmod o+x /Users /Users/ann
        mac
        mac
        stat --format '\"%U %a\"' /Library/LaunchDaemons/heph-hub.plist /Library/Logs/heph-hub.err.log
        launchctl model-reboot
        ops status --wait 20
        ps -o user= -p $(launchctl print system/heph-hub | awk '/^\\tpid =/ { print $3 }') | jq --raw-input .
        mac --log-format json
        ops logs heph-hub
        ops uninstall-service
        ls /Library/LaunchDaemons | jq --raw-input .
        launchctl model-stop",
    );
    assert_eq!(code(&said[0]), "insecure_permissions", "seed made /Users for root: {}", said[0]);
    assert!(said[0]["error"]["hint"].as_str().unwrap().contains("chmod o+x /Users"), "{}", said[0]);
    let said = &said[1..];
    assert_eq!(
        (status(&said[0]), status(&said[1])),
        ("installed", "already_installed"),
        "{said:?}"
    );
    assert_eq!((&said[2], &said[3]), (&"root 600".into(), &"ann 600".into()));
    assert_eq!((status(&said[4]), &said[5]), ("ok", &"ann".into()), "{}", said[4]);
    assert_eq!(status(&said[6]), "updated", "{}", said[6]);
    assert!(!said[7]["data"].as_array().unwrap().is_empty(), "{}", said[7]);
    assert_eq!((status(&said[8]), said.len()), ("uninstalled", 9), "{said:?}");
}

/// A signal from a terminal goes to all that run there; systemctl is not to hear it.
#[test]
fn ctrl_c_in_the_middle_of_a_restart_leaves_the_service_running() {
    let twin = Twin::new();
    let said = twin.documents(&format!(
        "{HUB}
        drop_in RestartSec=100ms ExecStop=+/bin/sleep\\ 1
        systemctl restart heph-hub
        stopping() {{ [ $(systemctl show heph-hub --property ActiveState --value) = deactivating ]; }}
        export -f until_ stopping
        setsid --wait bash -c 'trap : INT; heph-ops install-service --role hub --log-format json --json & \
          until_ stopping; kill -INT 0; wait $!; wait' || true
        systemctl is-active heph-hub | jq --raw-input .
        ops status --wait 10
        printf '[Timer]\\nOnBootSec=9d\\n' >/etc/systemd/system/heph-hub-update.timer
        systemctl daemon-reload
        ops uninstall-service heph-hub
        ls /etc/systemd/system/heph-hub* | jq --raw-input ."
    ));
    assert_eq!(code(&said[1]), "interrupted", "{}", said[1]);
    assert_eq!((&said[2], status(&said[3])), (&"active".into(), "ok"), "{}", said[3]);
    assert_eq!(status(&said[4]), "uninstalled", "{}", said[4]);
    let stays = said[5..].iter().any(|line| line == "/etc/systemd/system/heph-hub-update.timer");
    assert!(stays, "somebody else's stays: {said:?}");
}
