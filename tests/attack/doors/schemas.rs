//! The schema of each form.

use super::*;

#[tokio::test]
async fn each_body_is_judged_by_the_schema_of_its_form() {
    let doors = Doors::open("judged", ["--schema", "builtin"]).await;
    for (path, _, row) in rows() {
        for Body { good, bad, .. } in row.form.generating() {
            if row.form != Form::Predict || good.get("prompt").is_some() {
                assert_eq!(doors.json(&path, &good.to_string()).await, StatusCode::OK, "{path}");
                assert_eq!(doors.seen.one(), good);
            }
            let Some(bad) = bad else { continue };
            let status = doors.json(&path, &bad.to_string()).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {bad}");
            assert!(doors.seen.take().is_empty(), "{path} {bad}");
        }
        if let Form::Reads(bad) = row.form
            && !bad.is_empty()
        {
            let status = doors.json(&path, bad).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {bad}");
            assert!(doors.seen.take().is_empty(), "{path} {bad}");
        }
    }
}

#[tokio::test]
async fn a_schema_of_ones_own_judges_chats_wherever_they_are_sent() {
    let folder = Folder::new("doors-schema");
    let schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "properties": { "temperature": { "maximum": 1, "exclusiveMaximum": true } },
    });
    let file = folder.write("schema.json", &schema.to_string());
    let doors = Doors::open("own", ["--schema", &file]).await;
    let hot = r#"{"messages":[],"temperature":1}"#;
    for (path, _, row) in rows() {
        if !matches!(row.form, Form::Chat | Form::Any) {
            continue;
        }
        let among = format!(r#"{{"instances":[{hot}]}}"#);
        assert_eq!(doors.json(&path, hot).await, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        if row.form == Form::Any {
            assert_eq!(doors.json(&path, &among).await, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        }
        assert!(doors.seen.take().is_empty());
        let cold = hot.replace('1', "0.9");
        assert_eq!(doors.json(&path, &cold).await, StatusCode::OK, "{path}");
        assert_eq!(doors.seen.one().to_string().len(), cold.len());
    }
}
